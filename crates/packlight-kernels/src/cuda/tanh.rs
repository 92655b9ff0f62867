//! [`tanh`](crate::tanh) on a CUDA device.

use candle_core::Tensor;

use super::{Call, Gpu, Launch};
use crate::Result;

/// `tanh::forward`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn forward(gpu: &dyn Gpu, input: &Tensor) -> Result<Tensor> {
    let count = input.elem_count();
    let [output] = Call::typed("tanh_forward", input.dtype(), Launch::elements(count))?
        .input(input)
        .output(input.shape())
        .size(count)
        .run(gpu)?;
    Ok(output)
}

/// `tanh::backward`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn backward(gpu: &dyn Gpu, output: &Tensor, grad: &Tensor) -> Result<Tensor> {
    let count = grad.elem_count();
    let [result] = Call::typed("tanh_backward", grad.dtype(), Launch::elements(count))?
        .input(output)
        .input(grad)
        .output(grad.shape())
        .size(count)
        .run(gpu)?;
    Ok(result)
}
