//! [`softmax`](crate::softmax) on a CUDA device.

use candle_core::{DType, Tensor};

use super::{Call, Gpu, Launch};
use crate::Result;
use crate::softmax::Visible;

/// `softmax::forward`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn forward(gpu: &dyn Gpu, scores: &Tensor, visible: &Visible) -> Result<Tensor> {
    let (all, _) = rows(scores);
    let queries = match scores.dims() {
        [.., queries, _] => *queries,
        _ => 1,
    };
    forward_rows(gpu, scores, visible, Rows { first: 0, all, queries })
}

/// Which rows scores are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows {
    /// The first one's number among all rows.
    pub(super) first: usize,
    /// The number of all rows.
    pub(super) all: usize,
    /// The number of neighbouring rows that are the queries of one sequence.
    pub(super) queries: usize,
}

/// [`forward`] for some of the rows.
pub(super) fn forward_rows(
    gpu: &dyn Gpu,
    scores: &Tensor,
    visible: &Visible,
    place: Rows,
) -> Result<Tensor> {
    let (rows, keys) = rows(scores);
    let (mut sequences, mut lengths) = (1, None);
    if let Some(found) = &visible.lengths {
        let found: Vec<i64> = found.iter().map(|&length| length as i64).collect();
        sequences = found.len().max(1);
        lengths = Some(Tensor::from_vec(found, sequences, scores.device())?);
    }
    let [result] = Call::typed("softmax_forward", scores.dtype(), Launch::warps(rows))?
        .input(scores)
        .output(scores.shape())
        .optional_of(DType::I64, lengths.as_ref())
        .size(place.first)
        .size(place.all / sequences)
        .size(place.queries)
        .size(keys)
        .u32(visible.causal.into())
        .size(rows)
        .run(gpu)?;
    Ok(result)
}

/// `softmax::backward`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn backward(gpu: &dyn Gpu, probabilities: &Tensor, grad: &Tensor) -> Result<Tensor> {
    let (rows, keys) = rows(grad);
    let [result] = Call::typed("softmax_backward", grad.dtype(), Launch::warps(rows))?
        .input(probabilities)
        .input(grad)
        .output(grad.shape())
        .size(keys)
        .size(rows)
        .run(gpu)?;
    Ok(result)
}

/// Rows, and the elements of each.
fn rows(tensor: &Tensor) -> (usize, usize) {
    let keys = tensor.dims().last().copied().unwrap_or(1);
    (tensor.elem_count().checked_div(keys).unwrap_or(0), keys)
}
