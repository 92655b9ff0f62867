//! Softmax over the last axis, with masks for padding and causality.

use candle_core::Tensor;
use num_traits::{Float, Zero};
use rayon::prelude::*;

use crate::blank::{blank, is_blank};
use crate::cuda::on_cuda;
use crate::dtype::Element;
use crate::sum::{sum, sum_of};
use crate::tensor_io::{by_dtype, read};
use crate::{Error, Result};

const KERNEL: &str = "softmax";

/// Rows per parallel task.
const ROWS: usize = 64;

/// The mask of scores (B, ..., queries, keys): a prefix of each row is visible, the other elements
/// get probability 0.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Visible {
    /// The number of keys without padding, for each of the B sequences.
    pub lengths: Option<Vec<usize>>,
    /// Whether a query sees only the keys up to its own position.
    pub causal: bool,
}

impl Visible {
    /// The number of visible elements in row `row` of a tensor of shape `dims`.
    pub(crate) fn of_row(&self, row: usize, dims: &[usize]) -> usize {
        let keys = dims[dims.len() - 1];
        let queries = if dims.len() < 2 { 1 } else { dims[dims.len() - 2] };
        let rows = dims[..dims.len() - 1].iter().product::<usize>();
        let of_sequence = |lengths: &Vec<usize>| lengths[row / (rows / lengths.len())];
        let length = self.lengths.as_ref().map_or(keys, of_sequence).min(keys);
        if self.causal { length.min(row % queries + 1) } else { length }
    }

    pub(crate) fn check(&self, dims: &[usize]) -> Result<()> {
        let misfit = |reason: String| Err(Error::shape(KERNEL, reason));
        match &self.lengths {
            _ if dims.is_empty() => misfit("a scalar has no last axis".into()),
            Some(lengths) if dims.len() < 2 || lengths.len() != dims[0] => {
                misfit(format!("{} lengths do not fit scores of shape {dims:?}", lengths.len()))
            }
            _ => Ok(()),
        }
    }
}

/// The probabilities for scores (..., n).
///
/// # Errors
/// Returns an error if the lengths do not fit the scores, or the type or device is not supported.
pub fn forward(scores: &Tensor, visible: &Visible) -> Result<Tensor> {
    visible.check(scores.dims())?;
    if is_blank(scores) {
        return blank(scores.shape(), scores.dtype());
    }
    on_cuda!(scores => softmax::forward(scores, visible));
    let (device, shape) = (scores.device(), scores.dims());
    let n = shape[shape.len() - 1].max(1);
    by_dtype!(KERNEL, scores, T => {
        read!(KERNEL; scores: T);
        let mut result = vec![T::zero(); scores.len()];
        let pieces = result.par_chunks_mut(ROWS * n).zip(scores.par_chunks(ROWS * n)).enumerate();
        pieces.for_each(|(piece, (result, scores))| {
            let lines = result.chunks_exact_mut(n).zip(scores.chunks_exact(n)).enumerate();
            for (line, (result, scores)) in lines {
                let seen = visible.of_row(piece * ROWS + line, shape);
                probabilities(&scores[..seen], &mut result[..seen]);
            }
        });
        Ok(Tensor::from_vec(result, shape, device)?)
    })
}

/// The gradient of the scores for the exact or restored probabilities `p`: `p (g - p.g)`.
///
/// # Errors
/// Returns an error if the shapes differ, or the type or device is not supported.
pub fn backward(probabilities: &Tensor, grad: &Tensor) -> Result<Tensor> {
    if probabilities.dims() != grad.dims() || grad.dims().is_empty() {
        return Err(Error::shape(
            KERNEL,
            format!("output {:?} and gradient {:?} differ", probabilities.dims(), grad.dims()),
        ));
    }
    on_cuda!(grad => softmax::backward(probabilities, grad));
    let (device, shape) = (grad.device(), grad.dims());
    let n = shape[shape.len() - 1].max(1);
    by_dtype!(KERNEL, grad, T => {
        read!(KERNEL; probabilities: T, grad: T);
        let mut result = vec![T::zero(); grad.len()];
        result
            .par_chunks_mut(ROWS * n)
            .zip(grad.par_chunks(ROWS * n).zip(probabilities.par_chunks(ROWS * n)))
            .for_each(|(result, (grad, probabilities))| {
                let inputs = grad.chunks_exact(n).zip(probabilities.chunks_exact(n));
                for (result, (grad, probabilities)) in result.chunks_exact_mut(n).zip(inputs) {
                    differentiate(probabilities, grad, result);
                }
            });
        Ok(Tensor::from_vec(result, shape, device)?)
    })
}

/// The probabilities for the visible scores of a row.
pub(crate) fn probabilities<T: Element>(scores: &[T], result: &mut [T]) {
    let top = scores.iter().fold(T::neg_infinity(), |top, &x| Float::max(top, x));
    for (p, &x) in result.iter_mut().zip(scores) {
        *p = (x - top).power_of_e();
    }
    let scale = T::narrow(1.0 / sum(result));
    result.iter_mut().for_each(|p| *p *= scale);
}

/// The gradient of the scores of a row.
pub(crate) fn differentiate<T: Element>(probabilities: &[T], grad: &[T], result: &mut [T]) {
    let mean = T::narrow(sum_of([grad, probabilities], |[g, p]| g.wide() * p.wide()));
    for (r, (&g, &p)) in result.iter_mut().zip(grad.iter().zip(probabilities)) {
        *r = p * (g - mean);
    }
}
