//! GELU in its exact axes, and SiLU. Keep their input.

use std::sync::Arc;

use candle_core::Tensor;
use packlight_codec::Packed;
use packlight_kernels::{gelu, silu};

use crate::link::{Gradients, Needs, constant, output};
use crate::{Activation, Result, SavePoint};

/// `x Φ(x)` for each element; with a codec, the gradient is the one at the restored input.
///
/// # Errors
/// If the codec cannot pack the input, or a kernel is missing.
pub fn gelu(x: &Activation, layer: &Arc<SavePoint>) -> Result<Activation> {
    pointwise("gelu", x, layer, gelu::forward, |packed, grad| packed.gelu_grad(grad))
}

/// `x σ(x)` for each element, with the logistic function `σ`; with a codec, the gradient is the one
/// at the restored input.
///
/// # Errors
/// If the codec cannot pack the input, or a kernel is missing.
pub fn silu(x: &Activation, layer: &Arc<SavePoint>) -> Result<Activation> {
    pointwise("silu", x, layer, silu::forward, |packed, grad| packed.silu_grad(grad))
}

fn pointwise(
    name: &'static str,
    x: &Activation,
    layer: &Arc<SavePoint>,
    forward: fn(&Tensor) -> packlight_kernels::Result<Tensor>,
    backward: fn(&dyn Packed, &Tensor) -> packlight_codec::Result<Tensor>,
) -> Result<Activation> {
    let data = forward(x.data()).map_err(|e| layer.failed(e))?;
    if !Needs::of(&[x], &[]).any() {
        return Ok(constant(data, x));
    }
    let input = x.keep(layer, x.axes())?;
    let layer = layer.clone();
    output(name, data, &[x], &[], move |grad| {
        let grad = backward(input.value().as_ref(), &grad);
        Ok(Gradients::input(grad.map_err(|e| layer.codec_failed(e))?))
    })
}
