//! What a model reads.

use candle_core::Tensor;

/// What a model reads: images, or pairs of sequences.
#[derive(Debug, Clone)]
pub enum Inputs {
    /// Images (N, channels, height, width).
    Images(Tensor),
    /// Pairs of sequences of tokens, u32. Sequences that are shorter than others on their side end
    /// with [`PADDING`](super::PADDING).
    Pairs {
        /// The sources (N, source length).
        source: Tensor,
        /// The targets (N, target length), as far as the decoder reads them.
        target: Tensor,
    },
}
