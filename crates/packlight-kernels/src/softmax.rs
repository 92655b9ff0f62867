//! Softmax over the last axis, with masks for padding and causality.

use candle_core::Tensor;
use rayon::prelude::*;

use crate::argmax::greatest;
use crate::blank::{blank, is_blank};
use crate::cuda::on_cuda;
use crate::dtype::Element;
use crate::par_vec::write;
use crate::simd_dispatch::on_widest_vectors;
use crate::sum::{sum, sum_of};
use crate::tensor_io::{by_dtype, read, same_shape, write_over};
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
    let n = row_of(shape);
    by_dtype!(KERNEL, scores, T => {
        read!(KERNEL; scores: T);
        let result = write(scores.len(), ROWS * n, |elements, result| {
            let first = elements.start / n;
            let rows = result.copy_of(&scores[elements]);
            normalise(rows, n, first, visible, shape);
        });
        Ok(Tensor::from_vec(result, shape, device)?)
    })
}

/// [`forward`] written over `scores`, which nothing else may hold.
///
/// # Errors
/// Returns an error if the lengths do not fit the scores, these are not contiguous, or the type or device is not
/// supported.
pub fn forward_in_place(scores: &Tensor, visible: &Visible) -> Result<()> {
    visible.check(scores.dims())?;
    if is_blank(scores) {
        return Ok(());
    }
    let shape = scores.dims();
    let n = row_of(shape);
    by_dtype!(KERNEL, scores, T => write_over(scores, KERNEL, |scores: &mut [T]| {
        let pieces = scores.par_chunks_mut(ROWS * n).enumerate();
        pieces.for_each(|(piece, rows)| normalise(rows, n, piece * ROWS, visible, shape));
    }))
}

/// The gradient of the scores for the exact or restored probabilities `p`: `p (g - p.g)`.
///
/// # Errors
/// Returns an error if the shapes differ, or the type or device is not supported.
pub fn backward(probabilities: &Tensor, grad: &Tensor) -> Result<Tensor> {
    check(probabilities, grad)?;
    on_cuda!(grad => softmax::backward(probabilities, grad));
    let (device, shape) = (grad.device(), grad.dims());
    let n = row_of(shape);
    by_dtype!(KERNEL, grad, T => {
        read!(KERNEL; probabilities: T, grad: T);
        let result = write(grad.len(), ROWS * n, |elements, result| {
            let rows = result.copy_of(&grad[elements.clone()]);
            differentiate_rows(&probabilities[elements], rows, n);
        });
        Ok(Tensor::from_vec(result, shape, device)?)
    })
}

/// [`backward`] written over `grad`, which nothing else may hold.
///
/// # Errors
/// Returns an error if the shapes differ, `grad` is not contiguous, or the type or device is not supported.
pub fn backward_in_place(probabilities: &Tensor, grad: &Tensor) -> Result<()> {
    check(probabilities, grad)?;
    let n = row_of(grad.dims());
    by_dtype!(KERNEL, grad, T => {
        read!(KERNEL; probabilities: T);
        write_over(grad, KERNEL, |grad: &mut [T]| {
            let pieces = grad.par_chunks_mut(ROWS * n).zip(probabilities.par_chunks(ROWS * n));
            pieces.for_each(|(grad, probabilities)| differentiate_rows(probabilities, grad, n));
        })
    })
}

fn check(probabilities: &Tensor, grad: &Tensor) -> Result<()> {
    same_shape(KERNEL, ("output", probabilities.dims()), grad)?;
    Visible::default().check(grad.dims())
}

/// The elements of a row; 1 where there are none, for divisions.
fn row_of(shape: &[usize]) -> usize {
    shape.last().copied().unwrap_or(1).max(1)
}

on_widest_vectors! {
    /// Rows of `n` scores become probabilities; `first` is the number of the first of them.
    fn normalise<T: Element>(
        rows: &mut [T],
        n: usize,
        first: usize,
        visible: &Visible,
        shape: &[usize],
    ) {
        for (number, row) in rows.chunks_exact_mut(n).enumerate() {
            let (seen, unseen) = row.split_at_mut(visible.of_row(first + number, shape));
            probabilities(seen);
            unseen.fill(T::zero());
        }
    }
}

on_widest_vectors! {
    /// Rows of `n` gradients of probabilities become those of scores.
    fn differentiate_rows<T: Element>(probabilities: &[T], grad: &mut [T], n: usize) {
        for (probabilities, grad) in probabilities.chunks_exact(n).zip(grad.chunks_exact_mut(n)) {
            differentiate(probabilities, grad);
        }
    }
}

/// The visible scores of a row become probabilities.
#[inline(always)]
pub(crate) fn probabilities<T: Element>(row: &mut [T]) {
    let top = greatest(row);
    for p in &mut *row {
        *p = (*p - top).power_of_e();
    }
    let scale = T::narrow(1.0 / sum(row));
    for p in row {
        *p *= scale;
    }
}

/// The gradient of the probabilities of a row becomes that of its scores.
#[inline(always)]
pub(crate) fn differentiate<T: Element>(probabilities: &[T], grad: &mut [T]) {
    let mean = T::narrow(sum_of(
        [grad, probabilities],
        #[inline(always)]
        |[g, p]| g.wide() * p.wide(),
    ));
    for (g, &p) in grad.iter_mut().zip(probabilities) {
        *g = p * (*g - mean);
    }
}
