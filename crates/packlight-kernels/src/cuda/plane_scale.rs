//! [`plane_scale`](crate::plane_scale) on a CUDA device.

use candle_core::Tensor;

use super::{Call, Gpu, Launch};
use crate::Result;

/// `plane_scale::scale`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn scale(gpu: &dyn Gpu, input: &Tensor, factors: &Tensor) -> Result<Tensor> {
    let count = input.elem_count();
    let [output] = Call::typed("plane_scale_scale", input.dtype(), Launch::elements(count))?
        .input(input)
        .input(factors)
        .output(input.shape())
        .size(count)
        .size(count / factors.elem_count())
        .run(gpu)?;
    Ok(output)
}

/// `plane_scale::products`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn products(gpu: &dyn Gpu, a: &Tensor, b: &Tensor, shape: &[usize]) -> Result<Tensor> {
    let planes: usize = shape.iter().product();
    let [sums] = Call::typed("plane_scale_products", a.dtype(), Launch::warps(planes))?
        .input(a)
        .input(b)
        .output(shape)
        .size(planes)
        .size(a.elem_count() / planes)
        .run(gpu)?;
    Ok(sums)
}
