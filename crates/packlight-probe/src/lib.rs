//! Exact and compressed gradients side by side, and the fidelity metrics computed from them.
