//! [`gelu_tanh`](crate::gelu_tanh) on a CUDA device.

use candle_core::Tensor;

use super::{Call, Gpu, Launch};
use crate::Result;

/// `gelu_tanh::forward`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn forward(gpu: &dyn Gpu, input: &Tensor) -> Result<Tensor> {
    let count = input.elem_count();
    let [output] = Call::typed("gelu_tanh_forward", input.dtype(), Launch::elements(count))?
        .input(input)
        .output(input.shape())
        .size(count)
        .run(gpu)?;
    Ok(output)
}

/// `gelu_tanh::backward`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn backward(gpu: &dyn Gpu, input: &Tensor, grad: &Tensor) -> Result<Tensor> {
    let count = grad.elem_count();
    let [result] = Call::typed("gelu_tanh_backward", grad.dtype(), Launch::elements(count))?
        .input(input)
        .input(grad)
        .output(grad.shape())
        .size(count)
        .run(gpu)?;
    Ok(result)
}
