//! [`argmax`](fn@crate::argmax::argmax) on a CUDA device.

use candle_core::{DType, Tensor};

use super::{Call, Gpu, Launch};
use crate::Result;

/// `argmax` of rows, of which there are as many as the leading axes say.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn argmax(gpu: &dyn Gpu, rows: &Tensor, leading: &[usize]) -> Result<Tensor> {
    let count = leading.iter().product();
    let [indices] = Call::typed("argmax_rows", rows.dtype(), Launch::warps(count))?
        .input(rows)
        .output_of(DType::U32, leading)
        .size(count)
        .size(rows.elem_count() / count.max(1))
        .run(gpu)?;
    Ok(indices)
}
