//! [`gram`](fn@crate::gram::gram) on a CUDA device: candle's matrix products, which are cuBLAS's, of pieces of
//! the unfolding, added up in f64.

use candle_core::{DType, Tensor};

use super::product::product;
use super::{Call, Gpu, Launch};
use crate::Result;
use crate::gram::{COLUMNS, not_finite};

/// The most elements of the pieces, and of their products, at a time, unless one piece has more.
const AT_A_TIME: usize = 32 << 20;

/// `gram` of the unfolding along the middle axis of a tensor seen as (outer, rows, inner).
///
/// # Errors
/// Returns an error if an element is not finite or too large to be squared, the type is not supported or
/// the device fails.
pub fn gram(
    gpu: &dyn Gpu,
    tensor: &Tensor,
    (outer, rows, inner): (usize, usize, usize),
) -> Result<Tensor> {
    let columns = outer * inner;
    let pieces = columns.div_ceil(COLUMNS).max(1);
    let together = (AT_A_TIME / (rows * rows.max(COLUMNS)).max(1)).clamp(1, pieces);
    let mut sums: Option<Tensor> = None;
    for first in (0..pieces).step_by(together) {
        let shape = (together.min(pieces - first), rows, COLUMNS);
        let count = shape.0 * shape.1 * shape.2;
        let [parts] = Call::typed("gram_pieces", tensor.dtype(), Launch::elements(count))?
            .input(tensor)
            .output_of(DType::F32, shape)
            .size(count)
            .size(first * COLUMNS)
            .size(COLUMNS)
            .size(rows)
            .size(columns)
            .size(inner.max(1))
            .run(gpu)?;
        let products = product(gpu, "gram", &parts, &parts.t()?)?;
        let [sum] = Call::plain("gram_sum", Launch::elements(rows * rows))
            .input_of(DType::F32, &products)
            .optional_of(DType::F64, sums.as_ref())
            .output_of(DType::F64, (rows, rows))
            .size(shape.0)
            .size(rows)
            .run(gpu)?;
        sums = Some(sum);
    }
    let result = match sums {
        Some(sums) => sums,
        None => Tensor::zeros((rows, rows), DType::F64, tensor.device())?,
    };
    let [diagonal] = Call::plain("gram_diagonal", Launch::elements(rows))
        .input_of(DType::F64, &result)
        .output_of(DType::F64, rows)
        .size(rows)
        .run(gpu)?;
    match diagonal.to_vec1::<f64>()?.iter().all(|square| square.is_finite()) {
        true => Ok(result),
        false => Err(not_finite()),
    }
}
