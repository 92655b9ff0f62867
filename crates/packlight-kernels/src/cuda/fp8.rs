//! [`fp8`](crate::fp8) on a CUDA device.

use candle_core::{DType, Tensor};

use super::{Call, Gpu, Launch};
use crate::Result;
use crate::fp8::scale_of;

/// Elements of a piece, which a block looks through.
const PIECE: usize = 64 * 1024;

/// `fp8::pack`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn pack(gpu: &dyn Gpu, input: &Tensor) -> Result<(Tensor, f32)> {
    let count = input.elem_count();
    let scale = scale_of(greatest(gpu, input)?);
    let [codes] = Call::typed("fp8_pack", input.dtype(), Launch::elements(count))?
        .input(input)
        .output_of(DType::U8, input.shape())
        .f32(scale)
        .size(count)
        .run(gpu)?;
    Ok((codes, scale))
}

/// The largest finite magnitude: of pieces, and of those pieces, until there is one.
fn greatest(gpu: &dyn Gpu, input: &Tensor) -> Result<f32> {
    let mut found = input.clone();
    loop {
        let count = found.elem_count();
        let pieces = count.div_ceil(PIECE);
        if pieces == 0 {
            return Ok(0.0);
        }
        [found] = Call::typed("fp8_greatest", found.dtype(), Launch::blocks(pieces))?
            .input(&found)
            .output_of(DType::F32, pieces)
            .size(count)
            .size(PIECE)
            .run(gpu)?;
        if pieces == 1 {
            return Ok(found.squeeze(0)?.to_scalar::<f32>()?);
        }
    }
}

/// `fp8::unpack`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn unpack(gpu: &dyn Gpu, codes: &Tensor, scale: f32, dtype: DType) -> Result<Tensor> {
    let count = codes.elem_count();
    let [output] = Call::typed("fp8_unpack", dtype, Launch::elements(count))?
        .input_of(DType::U8, codes)
        .output(codes.shape())
        .f32(scale)
        .size(count)
        .run(gpu)?;
    Ok(output)
}
