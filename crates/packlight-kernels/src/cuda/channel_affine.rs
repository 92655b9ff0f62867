//! [`channel_affine`](fn@crate::channel_affine::channel_affine) on a CUDA device, with weight and bias
//! in f32, also for an input in bf16.

use candle_core::{DType, Tensor};

use super::{Call, Gpu, Launch};
use crate::Result;

/// `channel_affine`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn channel_affine(
    gpu: &dyn Gpu,
    input: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
) -> Result<Tensor> {
    let count = input.elem_count();
    let [output] = Call::typed("channel_affine_forward", input.dtype(), Launch::elements(count))?
        .input(input)
        .input_of(DType::F32, weight)
        .input_of(DType::F32, bias)
        .output(input.shape())
        .size(count)
        .size(weight.elem_count())
        .size(input.dims()[2..].iter().product())
        .run(gpu)?;
    Ok(output)
}
