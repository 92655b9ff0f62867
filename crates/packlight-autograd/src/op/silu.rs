//! SiLU. Keeps its input.

use std::sync::Arc;

use packlight_codec::InputForm;
use packlight_kernels::silu;

use crate::gradient::Gradient;
use crate::link::{Gradients, Needs, constant, output};
use crate::{Activation, Layer, Result};

/// `x σ(x)` for each element, with the logistic function `σ`; with a codec, the gradient is the one
/// at the restored input.
///
/// # Errors
/// If the codec cannot pack the input, or a kernel is missing.
pub fn silu(x: &Activation, layer: &Arc<Layer>) -> Result<Activation> {
    let data = silu::forward(x.data()).map_err(|e| layer.failed(e))?;
    if !Needs::of(&[x], &[]).any() {
        return Ok(constant(data, x));
    }
    let form = if x.dims().len() == 4 { InputForm::Images } else { InputForm::Tokens };
    let input = x.keep(layer, form)?;
    let layer = layer.clone();
    output("silu", data, &[x], &[], move |grad| {
        let grad = input.value().silu_grad(&grad.tensor).map_err(|e| layer.codec_failed(e))?;
        Ok(Gradients::input(Gradient::own(grad)))
    })
}
