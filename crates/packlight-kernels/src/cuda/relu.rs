//! [`relu`](crate::relu) on a CUDA device.

use candle_core::{DType, Tensor};

use super::{Call, Gpu, Launch};
use crate::Result;

/// `relu::forward`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn forward(gpu: &dyn Gpu, input: &Tensor) -> Result<(Tensor, Tensor)> {
    let count = input.elem_count();
    let [output, mask] = Call::typed("relu_forward", input.dtype(), Launch::elements(count))?
        .input(input)
        .output(input.shape())
        .output_of(DType::U8, count.div_ceil(8))
        .size(count)
        .run(gpu)?;
    Ok((output, mask))
}

/// `relu::forward_only`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn forward_only(gpu: &dyn Gpu, input: &Tensor) -> Result<Tensor> {
    let count = input.elem_count();
    let [output] = Call::typed("relu_forward_only", input.dtype(), Launch::elements(count))?
        .input(input)
        .output(input.shape())
        .size(count)
        .run(gpu)?;
    Ok(output)
}

/// `relu::backward`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn backward(gpu: &dyn Gpu, grad: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let count = grad.elem_count();
    let [result] = Call::typed("relu_backward", grad.dtype(), Launch::elements(count))?
        .input(grad)
        .input_of(DType::U8, mask)
        .output(grad.shape())
        .size(count)
        .run(gpu)?;
    Ok(result)
}
