//! Codecs that change or observe the gradients of a layer.

use candle_core::Tensor;

use crate::{Op, Result, Site};

/// Replaces gradients in the backward pass of convolutions and linear layers.
pub trait RewriteGradients {
    /// The gradient of the output for the backward pass to use; `None` leaves it exact, for codecs
    /// that only observe it.
    ///
    /// # Errors
    /// Returns an error if a kernel fails.
    fn output_grad(&self, _exact: &Tensor, _site: &mut Site<'_>) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// The gradient of an input of shape `input_shape` from that of the output, as a new contiguous tensor;
    /// `None` has the operation compute it.
    ///
    /// # Errors
    /// Returns an error if the shapes do not fit or a kernel fails.
    fn input_grad(
        &self,
        _op: Op<'_>,
        _output_grad: &Tensor,
        _weight: &Tensor,
        _input_shape: &[usize],
    ) -> Result<Option<Tensor>> {
        Ok(None)
    }
}
