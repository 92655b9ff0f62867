//! Codecs that change what a layer computes with.

use candle_core::Tensor;

use crate::Result;

/// Replaces the input or the weight of convolutions and linear layers, in training and in
/// evaluation: the forward pass changes.
pub trait RewriteOperands {
    /// The input to compute with; `None` leaves it as it is.
    ///
    /// # Errors
    /// Returns an error if a kernel fails.
    fn input(&self, _input: &Tensor) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// The weight to compute with; `None` leaves it as it is. All of the layer's own weight gets the
    /// gradient.
    ///
    /// # Errors
    /// Returns an error if a kernel fails.
    fn weight(&self, _weight: &Tensor) -> Result<Option<Tensor>> {
        Ok(None)
    }
}
