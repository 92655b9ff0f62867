//! Softmax cross-entropy with class labels, averaged over the labels that are not ignored.

use candle_core::{DType, Tensor};
use rayon::prelude::*;

use crate::argmax::greatest;
use crate::blank::{blank, is_blank};
use crate::cuda::on_cuda;
use crate::dtype::Element;
use crate::par_vec::{Blank, build, write_beside};
use crate::simd_dispatch::on_widest_vectors;
use crate::sum::{sum, sum_of};
use crate::tensor_io::{by_dtype, read};
use crate::{Error, Result};

const KERNEL: &str = "softmax_cross_entropy";

/// Rows of logits per parallel task.
const ROWS: usize = 16;

/// How labels become target probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Targets {
    /// Label smoothing: the probability spread evenly over all classes (Szegedy et al., CVPR 2016,
    /// section 7); the label's class gets the rest.
    pub smoothing: f64,
    /// The label to ignore, such as padding.
    pub ignored: Option<u32>,
}

/// The mean loss (a scalar) and the probabilities (..., C), for logits (..., C) and integer labels
/// (...).
///
/// # Errors
/// Returns an error if the shapes do not fit, a label is no class, no label counts, or the type or
/// device is not supported.
pub fn forward(logits: &Tensor, labels: &Tensor, targets: &Targets) -> Result<(Tensor, Tensor)> {
    let (classes, classes_of) = class_indices(logits, labels, targets)?;
    if is_blank(logits) {
        return Ok((blank((), logits.dtype())?, blank(logits.shape(), logits.dtype())?));
    }
    let counting = classes_of.iter().flatten().count();
    on_cuda!(logits => cross_entropy::forward(logits, labels, targets, counting));
    let (labels, counting) = (classes_of, counting as f64);
    let (device, shape) = (logits.device(), logits.shape());
    let uniform = targets.smoothing / classes as f64;
    by_dtype!(KERNEL, logits, T => {
        read!(KERNEL; logits: T);
        let mut losses = vec![0.0; labels.len()];
        let beside = losses.par_chunks_mut(ROWS).enumerate();
        let probabilities = write_beside(
            logits.len(),
            ROWS * classes,
            beside,
            |(piece, losses), probabilities| {
                let first = piece * ROWS;
                let rows = logits[first * classes..].chunks_exact(classes).zip(&labels[first..]);
                for (loss, (row, label)) in losses.iter_mut().zip(rows) {
                    let (top, log_total) = softmax(row, probabilities);
                    let Some(label) = *label else { continue };
                    let of_label = log_total + (top - row[label].wide());
                    *loss = if targets.smoothing == 0.0 {
                        of_label
                    } else {
                        let below = sum_of([row], |[x]| top - x.wide());
                        let of_all = classes as f64 * log_total + below;
                        (1.0 - targets.smoothing) * of_label + uniform * of_all
                    };
                }
            },
        );
        let loss = T::narrow(losses.iter().sum::<f64>() / counting);
        Ok((
            Tensor::from_vec(vec![loss], (), device)?,
            Tensor::from_vec(probabilities, shape, device)?,
        ))
    })
}

/// The gradient of the logits (..., C) for the gradient (a scalar) of the mean loss.
///
/// # Errors
/// Returns an error if the shapes do not fit, a label is no class, no label counts, or the type or
/// device is not supported.
pub fn backward(
    probabilities: &Tensor,
    labels: &Tensor,
    targets: &Targets,
    grad: &Tensor,
) -> Result<Tensor> {
    let (classes, classes_of) = class_indices(probabilities, labels, targets)?;
    let counting = classes_of.iter().flatten().count();
    on_cuda!(probabilities => cross_entropy::backward(probabilities, labels, targets, grad, counting));
    let (labels, counting) = (classes_of, counting as f64);
    let (device, shape) = (probabilities.device(), probabilities.shape());
    by_dtype!(KERNEL, probabilities, T => {
        let scale = grad.to_scalar::<T>()? / T::narrow(counting);
        let uniform = targets.smoothing / classes as f64;
        let of_others = scale * T::narrow(uniform);
        read!(KERNEL; probabilities: T);
        let result = build(probabilities.len(), ROWS * classes, |piece, result: &mut [T]| {
            let first = piece * ROWS;
            let rows = probabilities[first * classes..].chunks_exact(classes).zip(&labels[first..]);
            for (result, (probabilities, label)) in result.chunks_exact_mut(classes).zip(rows) {
                let Some(label) = *label else { continue };
                for (r, &p) in result.iter_mut().zip(probabilities) {
                    *r = p * scale - of_others;
                }
                // The label's `p - 1`, in which a p near 1 would lose all its digits.
                let (before, after) = (&probabilities[..label], &probabilities[label + 1..]);
                let missed = sum(before) + sum(after);
                result[label] = scale * T::narrow(targets.smoothing - uniform - missed);
            }
        });
        Ok(Tensor::from_vec(result, shape, device)?)
    })
}

on_widest_vectors! {
    /// Writes the probabilities of a row of logits, and gives the greatest of them, and the
    /// logarithm of the sum of their powers of e where that one is taken off them.
    fn softmax<T: Element>(row: &[T], probabilities: &mut Blank<'_, T>) -> (f64, f64) {
        let top = greatest(row);
        let total = sum_of([row], #[inline(always)] |[x]| (x - top).power_of_e().wide());
        let scale = T::narrow(total.recip());
        probabilities.write([row], #[inline(always)] |[x]| (x - top).power_of_e() * scale);
        (top.wide(), total.ln())
    }
}

/// The number of classes, and the labels as checked indices; `None` for an ignored label.
fn class_indices(
    logits: &Tensor,
    labels: &Tensor,
    targets: &Targets,
) -> Result<(usize, Vec<Option<usize>>)> {
    let fits = logits.dims().split_last().filter(|(_, leading)| *leading == labels.dims());
    let Some((&classes, _)) = fits.filter(|_| labels.dtype().is_int()) else {
        return Err(Error::shape(
            KERNEL,
            format!(
                "expected logits (..., classes) and integer labels (...), found {:?} and {:?} {:?}",
                logits.dims(),
                labels.dims(),
                labels.dtype()
            ),
        ));
    };
    if !(0.0..1.0).contains(&targets.smoothing) {
        let reason = format!("expected a smoothing in [0, 1), found {}", targets.smoothing);
        return Err(Error::shape(KERNEL, reason));
    }
    let labels = labels.flatten_all()?.to_dtype(DType::I64)?.to_vec1::<i64>()?;
    let indices: Vec<_> = labels
        .into_iter()
        .enumerate()
        .map(|(sample, label)| match usize::try_from(label) {
            _ if targets.ignored.is_some_and(|ignored| label == i64::from(ignored)) => Ok(None),
            Ok(index) if index < classes => Ok(Some(index)),
            _ => Err(Error::Label { kernel: KERNEL, label, sample, classes }),
        })
        .collect::<Result<_>>()?;
    match indices.iter().any(Option::is_some) {
        true => Ok((classes, indices)),
        false => {
            Err(Error::shape(KERNEL, "expected at least one label that is not ignored, found none"))
        }
    }
}
