//! Softmax cross-entropy. Keeps the probabilities.

use std::sync::Arc;

use candle_core::Tensor;
use packlight_kernels::softmax;
use packlight_record::KeptKind;

use crate::gradient::Gradient;
use crate::link::{Gradients, Needs, constant, output};
use crate::{Activation, Layer, Result};

/// The loss of logits (N,C) for integer labels (N), averaged over the batch: a scalar.
///
/// # Errors
/// If the shapes do not fit, a label is no class, or a kernel is missing.
pub fn softmax_cross_entropy(
    logits: &Activation,
    labels: &Tensor,
    layer: &Arc<Layer>,
) -> Result<Activation> {
    let (loss, probabilities) =
        softmax::cross_entropy(logits.data(), labels).map_err(|e| layer.failed(e))?;
    if !Needs::of(&[logits], &[]).any() {
        return Ok(constant(loss, logits));
    }
    let probabilities = logits.keep_tensor(layer, KeptKind::Statistics, probabilities);
    let (labels, layer) = (labels.clone(), layer.clone());
    output("softmax_cross_entropy", loss, &[logits], &[], move |grad| {
        let grad = softmax::backward(probabilities.value(), &labels, &grad.tensor)
            .map_err(|e| layer.failed(e))?;
        Ok(Gradients::input(Gradient::own(grad)))
    })
}
