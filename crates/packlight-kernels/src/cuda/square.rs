//! [`square`](crate::square) on a CUDA device.

use candle_core::{DType, Tensor};

use super::{Call, Gpu, Launch};
use crate::Result;

/// Elements that a block sums up.
const PIECE: usize = 16 * 1024;

/// `square::sum`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn sum(gpu: &dyn Gpu, tensor: &Tensor) -> Result<f64> {
    let (count, pieces) = (tensor.elem_count(), tensor.elem_count().div_ceil(PIECE));
    let [sums] = Call::typed("square_pieces", tensor.dtype(), Launch::blocks(pieces))?
        .input(tensor)
        .output_of(DType::F64, pieces)
        .size(count)
        .size(PIECE)
        .run(gpu)?;
    let [all] = Call::plain("square_sum", Launch::blocks(1))
        .input_of(DType::F64, &sums)
        .output_of(DType::F64, ())
        .size(pieces)
        .run(gpu)?;
    Ok(all.to_scalar()?)
}
