//! [`tanh`](crate::tanh) on a CUDA device.

use candle_core::Tensor;

use super::{Gpu, pointwise};
use crate::Result;

/// `tanh::forward`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn forward(gpu: &dyn Gpu, input: &Tensor) -> Result<Tensor> {
    pointwise::forward(gpu, "tanh_forward", input)
}

/// `tanh::backward`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn backward(gpu: &dyn Gpu, output: &Tensor, grad: &Tensor) -> Result<Tensor> {
    pointwise::backward(gpu, "tanh_backward", output, grad)
}
