//! Softmax cross-entropy with class labels, averaged over the batch.

use candle_core::{DType, Tensor};

use crate::element::Element;
use crate::elements::{by_dtype, read};
use crate::{Error, Result};

const KERNEL: &str = "softmax_cross_entropy";

/// The mean loss (a scalar) and the probabilities (N,C), for logits (N,C) and integer labels (N).
///
/// # Errors
/// If the shapes do not fit, a label is no class, or type or device have no kernel.
pub fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Result<(Tensor, Tensor)> {
    let (samples, classes) = logits.dims2()?;
    let labels = class_indices(labels, samples, classes)?;
    let device = logits.device();
    by_dtype!(KERNEL, logits, T => {
        read!(KERNEL; logits: T);
        let mut probabilities = Vec::with_capacity(logits.len());
        let mut loss = 0.0;
        for (row, &label) in logits.chunks_exact(classes).zip(&labels) {
            let top = row.iter().fold(f64::NEG_INFINITY, |top, x| top.max(x.wide()));
            let total: f64 = row.iter().map(|x| (x.wide() - top).exp()).sum();
            loss += total.ln() + top - row[label].wide();
            probabilities.extend(row.iter().map(|x| T::narrow((x.wide() - top).exp() / total)));
        }
        let loss = T::narrow(loss / samples as f64);
        Ok((
            Tensor::from_vec(vec![loss], (), device)?,
            Tensor::from_vec(probabilities, (samples, classes), device)?,
        ))
    })
}

/// The gradient of the logits (N,C) for the gradient (a scalar) of the mean loss.
///
/// # Errors
/// If the shapes do not fit, a label is no class, or type or device have no kernel.
pub fn backward(probabilities: &Tensor, labels: &Tensor, grad: &Tensor) -> Result<Tensor> {
    let (samples, classes) = probabilities.dims2()?;
    let labels = class_indices(labels, samples, classes)?;
    let device = probabilities.device();
    by_dtype!(KERNEL, probabilities, T => {
        let scale = grad.to_scalar::<T>()? / T::narrow(samples as f64);
        read!(KERNEL; probabilities: T);
        let mut result: Vec<T> = probabilities.iter().map(|&p| p * scale).collect();
        for (row, &label) in result.chunks_exact_mut(classes).zip(&labels) {
            row[label] -= scale;
        }
        Ok(Tensor::from_vec(result, (samples, classes), device)?)
    })
}

/// Labels as indices, each checked to be a class.
fn class_indices(labels: &Tensor, samples: usize, classes: usize) -> Result<Vec<usize>> {
    if labels.dims() != [samples] || samples == 0 || !labels.dtype().is_int() {
        return Err(Error::shape(
            KERNEL,
            format!(
                "{samples} integer labels expected, {:?} {:?} found",
                labels.dims(),
                labels.dtype()
            ),
        ));
    }
    let labels = labels.to_dtype(DType::I64)?.to_vec1::<i64>()?;
    labels
        .into_iter()
        .enumerate()
        .map(|(sample, label)| match usize::try_from(label) {
            Ok(index) if index < classes => Ok(index),
            _ => Err(Error::Label { kernel: KERNEL, label, sample, classes }),
        })
        .collect()
}
