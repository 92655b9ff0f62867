//! ReLU. Keeps one bit per element.

use std::sync::Arc;

use packlight_kernels::relu;
use packlight_record::KeptKind;

use crate::gradient::Gradient;
use crate::link::{Gradients, Needs, constant, output};
use crate::{Activation, Layer, Result};

/// `max(x, 0)` for each element.
///
/// # Errors
/// If a kernel is missing.
pub fn relu(x: &Activation, layer: &Arc<Layer>) -> Result<Activation> {
    if !Needs::of(&[x], &[]).any() {
        return Ok(constant(relu::forward_only(x.data()).map_err(|e| layer.failed(e))?, x));
    }
    let (data, mask) = relu::forward(x.data()).map_err(|e| layer.failed(e))?;
    let mask = x.keep_tensor(layer, KeptKind::Mask, mask);
    let layer = layer.clone();
    output("relu", data, &[x], &[], move |grad| {
        let grad = relu::backward(&grad.tensor, mask.value()).map_err(|e| layer.failed(e))?;
        Ok(Gradients::input(Gradient::own(grad)))
    })
}
