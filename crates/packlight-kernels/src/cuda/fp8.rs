//! [`fp8`](crate::fp8) on a CUDA device.

use candle_core::{DType, Tensor};

use super::{Call, Gpu, Launch};
use crate::Result;
use crate::fp8::Format;

/// Elements of a piece, which a block looks through.
const PIECE: usize = 64 * 1024;

/// `fp8::pack`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn pack(gpu: &dyn Gpu, input: &Tensor, format: Format, row: usize) -> Result<(Tensor, Tensor)> {
    let count = input.elem_count();
    let greatest = greatest(gpu, input, row)?;
    let scales: Vec<f32> = greatest.into_iter().map(|most| format.scale_of(most)).collect();
    let rows = scales.len();
    let scales = Tensor::from_vec(scales, rows, input.device())?;
    let [codes] = Call::typed("fp8_pack", input.dtype(), Launch::elements(count))?
        .input(input)
        .input_of(DType::F32, &scales)
        .output_of(DType::U8, input.shape())
        .u32(format.mantissa())
        .size(row)
        .size(count)
        .run(gpu)?;
    Ok((codes, scales))
}

/// The largest finite magnitude of each row. Of a single one, that of pieces, and of those pieces,
/// until there is one.
fn greatest(gpu: &dyn Gpu, input: &Tensor, row: usize) -> Result<Vec<f32>> {
    let mut found = input.clone();
    let rows = input.elem_count().checked_div(row).unwrap_or(0);
    loop {
        let count = found.elem_count();
        let size = if rows > 1 { row } else { PIECE };
        let pieces = count.div_ceil(size);
        if pieces == 0 {
            return Ok(Vec::new());
        }
        [found] = Call::typed("fp8_greatest", found.dtype(), Launch::blocks(pieces))?
            .input(&found)
            .output_of(DType::F32, pieces)
            .size(count)
            .size(size)
            .run(gpu)?;
        if pieces == rows {
            return Ok(found.to_vec1::<f32>()?);
        }
    }
}

/// `fp8::unpack`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn unpack(
    gpu: &dyn Gpu,
    codes: &Tensor,
    scales: &Tensor,
    format: Format,
    dtype: DType,
) -> Result<Tensor> {
    let count = codes.elem_count();
    let row = count.checked_div(scales.elem_count()).unwrap_or(0);
    let [output] = Call::typed("fp8_unpack", dtype, Launch::elements(count))?
        .input_of(DType::U8, codes)
        .input_of(DType::F32, scales)
        .output(codes.shape())
        .u32(format.mantissa())
        .size(row)
        .size(count)
        .run(gpu)?;
    Ok(output)
}
