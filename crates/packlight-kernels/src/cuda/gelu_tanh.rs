//! [`gelu_tanh`](crate::gelu_tanh) on a CUDA device.

use candle_core::Tensor;

use super::{Gpu, pointwise};
use crate::Result;

/// `gelu_tanh::forward`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn forward(gpu: &dyn Gpu, input: &Tensor) -> Result<Tensor> {
    pointwise::forward(gpu, "gelu_tanh_forward", input)
}

/// `gelu_tanh::backward`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn backward(gpu: &dyn Gpu, input: &Tensor, grad: &Tensor) -> Result<Tensor> {
    pointwise::backward(gpu, "gelu_tanh_backward", input, grad)
}
