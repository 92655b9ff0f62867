//! Numeric kernels on candle tensors, and the counter-based random generator.
