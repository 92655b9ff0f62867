//! Dropout. Keeps nothing: its mask is drawn again from the pass's seed and step.

use std::sync::Arc;

use packlight_kernels::dropout;
use packlight_kernels::rng::Purpose;

use crate::gradient::Gradient;
use crate::link::{Gradients, Needs, constant, output};
use crate::{Activation, Layer, Result};

/// Zeroes each element with `probability` and scales the others up, in training only.
///
/// # Errors
/// If the probability is not in [0, 1), or a kernel is missing.
pub fn dropout(x: &Activation, probability: f64, layer: &Arc<Layer>) -> Result<Activation> {
    if !x.pass().is_training() || probability == 0.0 {
        return Ok(x.clone());
    }
    let key = x.pass().key(Purpose::Dropout, layer.name());
    let data = dropout::apply(x.data(), probability, key).map_err(|e| layer.failed(e))?;
    if !Needs::of(&[x], &[]).any() {
        return Ok(constant(data, x));
    }
    let layer = layer.clone();
    output("dropout", data, &[x], &[], move |grad| {
        let grad = dropout::apply(&grad.tensor, probability, key).map_err(|e| layer.failed(e))?;
        Ok(Gradients::input(Gradient::own(grad)))
    })
}
