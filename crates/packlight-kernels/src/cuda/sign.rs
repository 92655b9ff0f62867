//! [`sign`](crate::sign) on a CUDA device.

use candle_core::{DType, Shape, Tensor};

use super::{Call, Gpu, Launch, finite};
use crate::Result;

/// `sign::pack`.
///
/// # Errors
/// Returns an error if an element is not finite, the type is not supported, or the device fails.
pub fn pack(gpu: &dyn Gpu, input: &Tensor) -> Result<Tensor> {
    finite::check(gpu, "sign", "the input", input)?;
    let count = input.elem_count();
    let [signs] = Call::typed("sign_pack", input.dtype(), Launch::elements(count))?
        .input(input)
        .output_of(DType::U8, count.div_ceil(32) * 4)
        .size(count)
        .run(gpu)?;
    Ok(signs)
}

/// `sign::unpack`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn unpack(
    gpu: &dyn Gpu,
    signs: &Tensor,
    magnitude: f64,
    shape: &Shape,
    dtype: DType,
) -> Result<Tensor> {
    let count = shape.elem_count();
    let [output] = Call::typed("sign_unpack", dtype, Launch::elements(count))?
        .input_of(DType::U8, signs)
        .output(shape)
        .f32(magnitude as f32)
        .size(count)
        .run(gpu)?;
    Ok(output)
}

/// `sign::add`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn add(gpu: &dyn Gpu, input: &Tensor, magnitude: f64) -> Result<Tensor> {
    let count = input.elem_count();
    let [output] = Call::typed("sign_add", input.dtype(), Launch::elements(count))?
        .input(input)
        .output(input.shape())
        .f32(magnitude as f32)
        .size(count)
        .run(gpu)?;
    Ok(output)
}
