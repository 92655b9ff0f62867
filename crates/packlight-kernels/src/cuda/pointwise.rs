//! What functions of single elements have in common on a CUDA device.

use candle_core::Tensor;

use super::{Call, Gpu, Launch};
use crate::Result;

/// The outputs of `kernel`, one for each element of the input.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub(super) fn forward(gpu: &dyn Gpu, kernel: &'static str, input: &Tensor) -> Result<Tensor> {
    let count = input.elem_count();
    let [output] = Call::typed(kernel, input.dtype(), Launch::elements(count))?
        .input(input)
        .output(input.shape())
        .size(count)
        .run(gpu)?;
    Ok(output)
}

/// The gradients that `kernel` makes of what was saved, the input or the output, and those of the output.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub(super) fn backward(
    gpu: &dyn Gpu,
    kernel: &'static str,
    saved: &Tensor,
    grad: &Tensor,
) -> Result<Tensor> {
    let count = grad.elem_count();
    let [result] = Call::typed(kernel, grad.dtype(), Launch::elements(count))?
        .input(saved)
        .input(grad)
        .output(grad.shape())
        .size(count)
        .run(gpu)?;
    Ok(result)
}
