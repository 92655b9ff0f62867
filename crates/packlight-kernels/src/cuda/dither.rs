//! [`dither`](fn@crate::dither::dither) on a CUDA device.

use candle_core::{DType, Tensor};

use super::{Call, Gpu, Launch};
use crate::Result;
use crate::rng::Key;

/// Elements that a block sums up.
const PIECE: usize = 64 * 1024;

/// `dither`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn dither(gpu: &dyn Gpu, input: &Tensor, step: f64, key: Key) -> Result<Tensor> {
    let count = input.elem_count();
    let [key, turn] = key.words();
    let launch = Launch::elements(count.div_ceil(4));
    let [output] = Call::typed("dither_round", input.dtype(), launch)?
        .input(input)
        .output(input.shape())
        .f64(step)
        .u64(key)
        .u64(turn)
        .size(count)
        .run(gpu)?;
    Ok(output)
}

/// `dither::deviation`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn deviation(gpu: &dyn Gpu, input: &Tensor) -> Result<f64> {
    let centre = mean(gpu, input, 0.0, false)?;
    Ok(mean(gpu, input, centre, true)?.sqrt())
}

/// The mean distance of the elements from `centre`, or of its square.
fn mean(gpu: &dyn Gpu, input: &Tensor, centre: f64, squares: bool) -> Result<f64> {
    let count = input.elem_count();
    let pieces = count.div_ceil(PIECE);
    let [sums] = Call::typed("dither_sums", input.dtype(), Launch::blocks(pieces))?
        .input(input)
        .output_of(DType::F64, pieces)
        .f64(centre)
        .u32(squares.into())
        .size(count)
        .size(PIECE)
        .run(gpu)?;
    Ok(sums.to_vec1::<f64>()?.iter().sum::<f64>() / count.max(1) as f64)
}
