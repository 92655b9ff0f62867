//! The inputs of a model.

use candle_core::Tensor;

/// The inputs of a model: images, pairs of sequences, or text.
#[derive(Debug, Clone)]
pub enum Inputs {
    /// Images (N, channels, height, width).
    Images(Tensor),
    /// Pairs of sequences of tokens, u32. Each side is padded with [`PADDING`](super::PADDING) to
    /// its longest sequence.
    Pairs {
        /// The sources (N, source length).
        source: Tensor,
        /// The targets (N, target length), as the decoder reads them.
        target: Tensor,
    },
    /// Sequences of tokens (N, length), u32: parts of a text, all of the same length, or whole texts
    /// of one class each, padded with [`PADDING`](super::PADDING) to the longest.
    Text(Tensor),
}
