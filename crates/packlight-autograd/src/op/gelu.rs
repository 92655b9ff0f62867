//! GELU in its exact form. Keeps its input.

use std::sync::Arc;

use packlight_codec::InputForm;
use packlight_kernels::gelu;

use crate::gradient::Gradient;
use crate::link::{Gradients, Needs, constant, output};
use crate::{Activation, Layer, Result};

/// `x Φ(x)` for each element; with a codec, the gradient is the one at the restored input.
///
/// # Errors
/// If the codec cannot pack the input, or a kernel is missing.
pub fn gelu(x: &Activation, layer: &Arc<Layer>) -> Result<Activation> {
    let data = gelu::forward(x.data()).map_err(|e| layer.failed(e))?;
    if !Needs::of(&[x], &[]).any() {
        return Ok(constant(data, x));
    }
    let form = if x.dims().len() == 4 { InputForm::Images } else { InputForm::Tokens };
    let input = x.keep(layer, form)?;
    let layer = layer.clone();
    output("gelu", data, &[x], &[], move |grad| {
        let grad = input.value().gelu_grad(&grad.tensor).map_err(|e| layer.codec_failed(e))?;
        Ok(Gradients::input(Gradient::own(grad)))
    })
}
