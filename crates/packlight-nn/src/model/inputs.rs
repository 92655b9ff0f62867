//! The inputs of a model.

use candle_core::{DType, Tensor};
use packlight_kernels::blank::blank;

use crate::Result;

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

impl Inputs {
    /// Blanks ([`packlight_kernels::blank`]) of the same shapes, for so many samples; images are of `dtype`.
    ///
    /// # Errors
    /// Returns an error if candle does not support the type.
    pub fn blanks(&self, samples: usize, dtype: DType) -> Result<Self> {
        let like = |tensor: &Tensor, dtype| blanks_of(tensor, samples, dtype);
        Ok(match self {
            Inputs::Images(images) => Inputs::Images(like(images, dtype)?),
            Inputs::Pairs { source, target } => Inputs::Pairs {
                source: like(source, source.dtype())?,
                target: like(target, target.dtype())?,
            },
            Inputs::Text(tokens) => Inputs::Text(like(tokens, tokens.dtype())?),
        })
    }

    /// The number of samples.
    pub fn samples(&self) -> usize {
        let (Inputs::Images(first) | Inputs::Pairs { source: first, .. } | Inputs::Text(first)) =
            self;
        first.dims().first().copied().unwrap_or_default()
    }
}

/// A blank of a tensor's shape, for so many samples, which are its first axis.
///
/// # Errors
/// Returns an error if candle does not support the type.
pub fn blanks_of(tensor: &Tensor, samples: usize, dtype: DType) -> Result<Tensor> {
    let mut shape = tensor.dims().to_vec();
    if let Some(first) = shape.first_mut() {
        *first = samples;
    }
    Ok(blank(shape, dtype)?)
}
