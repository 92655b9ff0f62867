//! Lets a probe observe exact and compressed weight gradients.

use candle_core::Tensor;
use packlight_codec::Bytes;

use crate::SavePoint;

/// Both weight gradients of one layer, from the same batch in one backward pass.
pub struct WeightGradient<'a> {
    /// The conv or linear layer.
    pub layer: &'a SavePoint,
    /// Its exact input.
    pub input: &'a Tensor,
    /// Its input as the backward pass restores it.
    pub restored: &'a Tensor,
    /// The weight gradient from the exact input.
    pub exact: &'a Tensor,
    /// The weight gradient from what was saved, which training uses.
    pub compressed: &'a Tensor,
    /// The bytes that were saved.
    pub kept: Bytes,
}

/// Receives the weight gradients of each conv and linear layer during the backward pass.
pub trait Observer: Send + Sync {
    /// Receives one layer's gradients.
    ///
    /// # Errors
    /// Returns a reason, which ends the backward pass.
    fn weight_gradient(&self, seen: &WeightGradient<'_>) -> Result<(), String>;
}
