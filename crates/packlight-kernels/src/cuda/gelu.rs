//! [`gelu`](crate::gelu) on a CUDA device.

use candle_core::Tensor;

use super::{Gpu, pointwise};
use crate::Result;

/// `gelu::forward`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn forward(gpu: &dyn Gpu, input: &Tensor) -> Result<Tensor> {
    pointwise::forward(gpu, "gelu_forward", input)
}

/// `gelu::backward`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn backward(gpu: &dyn Gpu, input: &Tensor, grad: &Tensor) -> Result<Tensor> {
    pointwise::backward(gpu, "gelu_backward", input, grad)
}
