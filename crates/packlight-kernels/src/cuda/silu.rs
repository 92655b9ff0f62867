//! [`silu`](crate::silu) on a CUDA device.

use candle_core::Tensor;

use super::{Gpu, pointwise};
use crate::Result;

/// `silu::forward`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn forward(gpu: &dyn Gpu, input: &Tensor) -> Result<Tensor> {
    pointwise::forward(gpu, "silu_forward", input)
}

/// `silu::backward`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn backward(gpu: &dyn Gpu, input: &Tensor, grad: &Tensor) -> Result<Tensor> {
    pointwise::backward(gpu, "silu_backward", input, grad)
}
