//! Evaluates a model on a split.

use candle_core::{Device, Tensor};
use packlight_autograd::Pass;
use packlight_kernels::argmax::argmax;
use packlight_kernels::finite::is_finite;
use packlight_nn::Model;

use crate::data::{Batch, Split};
use crate::{Error, Result};

/// Loss and accuracy over a whole split.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evaluation {
    /// Mean cross-entropy over the targets that count, without label smoothing.
    pub loss: f64,
    /// Images classified correctly, or tokens predicted correctly from all tokens before them.
    pub correct: u64,
    /// Images, or tokens other than padding.
    pub total: u64,
}

impl Evaluation {
    /// The fraction of correct predictions.
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.total as f64
    }

    /// The perplexity of a language model: the exponential of the loss; `None` where that is beyond the largest
    /// number.
    pub fn perplexity(&self) -> Option<f64> {
        Some(self.loss.exp()).filter(|perplexity| perplexity.is_finite())
    }
}

/// Evaluates `model` on all of `split`, with `batch` samples at a time: it uses running statistics,
/// saves nothing and augments nothing.
///
/// # Errors
/// Returns an error if a batch cannot be made or does not fit the model, or [`Error::NotFinite`] if
/// the logits or a loss are not finite.
pub fn evaluate(model: &Model, split: &Split, batch: usize, device: &Device) -> Result<Evaluation> {
    let pass = Pass::evaluation();
    let (mut loss, mut right, mut total) = (0.0, 0, 0);
    let samples: Vec<usize> = (0..split.len()).collect();
    for indices in samples.chunks(batch.max(1)) {
        let Batch { inputs, targets, units } = split.batch(indices, None, device)?;
        let logits = model.logits(&inputs, &pass)?;
        let mean = scalar(&model.loss(&logits, &targets)?)?;
        let logits_finite = is_finite(logits.data()).map_err(packlight_nn::Error::from)?;
        if !(logits_finite && mean.is_finite()) {
            let what = if logits_finite { "loss" } else { "logits" };
            return Err(Error::NotFinite { what, first: indices[0], count: indices.len() });
        }
        loss += mean * units as f64;
        right += correct(model, logits.data(), &targets)?;
        total += units;
    }
    Ok(Evaluation { loss: loss / total as f64, correct: right, total })
}

/// The number of rows of `logits` (..., classes) that are largest at their target, among the
/// targets that count.
pub(crate) fn correct(model: &Model, logits: &Tensor, targets: &Tensor) -> Result<u64> {
    let predicted =
        argmax(logits).map_err(packlight_nn::Error::from)?.flatten_all()?.to_vec1::<u32>()?;
    let targets = targets.flatten_all()?.to_vec1::<u32>()?;
    let counts = |target: u32| model.ignored_label() != Some(target);
    Ok(predicted.iter().zip(&targets).filter(|&(p, &t)| *p == t && counts(t)).count() as u64)
}

/// The value of a scalar tensor.
pub(crate) fn scalar(tensor: &Tensor) -> Result<f64> {
    Ok(tensor.to_dtype(candle_core::DType::F64)?.to_scalar::<f64>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_perplexity_beyond_the_largest_number_is_none() {
        let of = |loss| Evaluation { loss, correct: 0, total: 1 }.perplexity();
        assert_eq!((of(0.0), of(709.0).is_some(), of(710.0)), (Some(1.0), true, None));
    }
}
