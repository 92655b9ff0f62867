//! [`fixed_range`](crate::fixed_range) on a CUDA device.

use candle_core::{DType, Tensor};

use super::{Call, Gpu, Launch, finite};
use crate::Result;
use crate::bit_pack::RUN;
use crate::fixed_range::FixedRange;

/// `FixedRange::pack`.
///
/// # Errors
/// Returns an error if the channels do not fit, a value, weight or bias is not finite, the type is not
/// supported, or the device fails.
pub fn pack(gpu: &dyn Gpu, range: &FixedRange, normalised: &Tensor) -> Result<Tensor> {
    let (sample, plane) = range.sizes(normalised.dims())?;
    let channels = channels(gpu, range, true)?;
    finite::check(gpu, "fixed_range", "the input", normalised)?;
    let samples = normalised.dim(0)?;
    let launch = Launch::warps(samples * sample.div_ceil(RUN));
    let [codes] = Call::typed("fixed_range_pack", normalised.dtype(), launch)?
        .input(normalised)
        .input_of(DType::F32, &channels)
        .output_of(DType::U8, FixedRange::bytes(range.bits, normalised.dims()))
        .u32(range.bits.into())
        .size(samples)
        .size(sample)
        .size(plane)
        .run(gpu)?;
    Ok(codes)
}

/// `FixedRange::output`, or `FixedRange::normalised` without the norm's weight and bias (`affine`), in f32.
///
/// # Errors
/// Returns an error if the sizes do not fit, a weight or bias is not finite, or the device fails.
pub fn restore(
    gpu: &dyn Gpu,
    range: &FixedRange,
    codes: &Tensor,
    shape: &[usize],
    affine: bool,
) -> Result<Tensor> {
    let (sample, plane) = range.sizes(shape)?;
    range.check_codes(codes, shape)?;
    let channels = channels(gpu, range, affine)?;
    let samples = shape.first().copied().unwrap_or(0);
    let launch = Launch::warps(samples * sample.div_ceil(RUN));
    let [output] = Call::plain("fixed_range_restore", launch)
        .input_of(DType::U8, codes)
        .input_of(DType::F32, &channels)
        .output_of(DType::F32, shape)
        .u32(range.bits.into())
        .size(samples)
        .size(sample)
        .size(plane)
        .run(gpu)?;
    Ok(output)
}

/// The table of the channels' codes.
fn channels(gpu: &dyn Gpu, range: &FixedRange, affine: bool) -> Result<Tensor> {
    for parameter in [&range.weight, &range.bias] {
        finite::check(gpu, "fixed_range", "a weight or bias", parameter)?;
    }
    let count = range.weight.elem_count();
    let [table] = Call::plain("fixed_range_channels", Launch::elements(count))
        .input_of(DType::F32, &range.weight)
        .input_of(DType::F32, &range.bias)
        .output_of(DType::F32, (count, 8))
        .u32(range.bits.into())
        .u32(affine.into())
        .size(count)
        .run(gpu)?;
    Ok(table)
}
