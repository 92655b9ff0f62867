//! How well a model does on data that it is not being trained on.

use candle_core::{D, Device, Tensor};
use packlight_autograd::{Activation, Pass};
use packlight_nn::{Model, Module};

use crate::Result;
use crate::data::Split;

/// Loss and accuracy over a whole split.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evaluation {
    /// Mean cross-entropy.
    pub loss: f64,
    /// Samples classified correctly.
    pub correct: u64,
    /// Samples.
    pub total: u64,
}

impl Evaluation {
    /// The fraction classified correctly.
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.total as f64
    }
}

/// Evaluates `model` on all of `split`, `batch` samples at a time: running statistics are used,
/// nothing is kept, nothing is augmented.
///
/// # Errors
/// If a batch cannot be made or the model cannot take it.
pub fn evaluate(model: &Model, split: &Split, batch: usize, device: &Device) -> Result<Evaluation> {
    let pass = Pass::evaluation();
    let (mut loss, mut right) = (0.0, 0);
    let samples: Vec<usize> = (0..split.len()).collect();
    for indices in samples.chunks(batch.max(1)) {
        let (images, labels) = split.batch(indices, None, device)?;
        let logits = model.forward(&Activation::from_tensor(&images, &pass)?)?;
        loss += scalar(model.loss(&logits, &labels)?.data())? * indices.len() as f64;
        right += correct(logits.data(), &labels)?;
    }
    let total = split.len() as u64;
    Ok(Evaluation { loss: loss / total as f64, correct: right, total })
}

/// How many rows of `logits` (N, classes) are largest at their label.
pub(crate) fn correct(logits: &Tensor, labels: &Tensor) -> Result<u64> {
    let predicted = logits.argmax(D::Minus1)?.to_vec1::<u32>()?;
    let labels = labels.to_vec1::<u32>()?;
    Ok(predicted.iter().zip(&labels).filter(|(p, l)| p == l).count() as u64)
}

/// The value of a scalar tensor.
pub(crate) fn scalar(tensor: &Tensor) -> Result<f64> {
    Ok(tensor.to_dtype(candle_core::DType::F64)?.to_scalar::<f64>()?)
}
