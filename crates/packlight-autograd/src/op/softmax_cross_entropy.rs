//! Softmax cross-entropy. Saves the probabilities.

use std::sync::Arc;

use candle_core::Tensor;
use packlight_codec::AxisLayout;
use packlight_kernels::cross_entropy::{self, Targets};
use packlight_record::KeptKind;

use crate::operation::{Gradients, Needs, constant, output};
use crate::{Activation, Result, SavePoint};

/// The loss of logits (..., C) for integer labels (...), averaged over those that count: a scalar.
///
/// # Errors
/// Returns an error if the shapes do not fit, a label is no class, no label counts, or a kernel is
/// missing.
pub fn softmax_cross_entropy(
    logits: &Activation,
    labels: &Tensor,
    targets: Targets,
    save_point: &Arc<SavePoint>,
) -> Result<Activation> {
    let (loss, probabilities) = cross_entropy::forward(logits.data(), labels, &targets)
        .map_err(|e| save_point.failed(e))?;
    if !Needs::of(&[logits], &[]).any() {
        return Ok(constant(loss, logits).with_axes(AxisLayout::Tokens));
    }
    let probabilities = logits.save_tensor(save_point, KeptKind::Statistics, probabilities);
    let (labels, save_point) = (labels.clone(), save_point.clone());
    let y = output("softmax_cross_entropy", loss, &[logits], &[], move |grad| {
        let grad = cross_entropy::backward(probabilities.value(), &labels, &targets, &grad)
            .map_err(|e| save_point.failed(e))?;
        Ok(Gradients::input(grad))
    })?;
    Ok(y.with_axes(AxisLayout::Tokens))
}
