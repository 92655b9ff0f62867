//! GELU in its exact and its approximate form, and SiLU. All save their input.

use std::sync::Arc;

use candle_core::Tensor;
use packlight_codec::Op;
use packlight_kernels::{gelu, gelu_tanh, silu};

use crate::operation::{Gradients, Needs, constant, output};
use crate::{Activation, Result, SavePoint};

/// `x Φ(x)` for each element; with a codec, the gradient is that at the restored input.
///
/// # Errors
/// Returns an error if the codec cannot pack the input, or a kernel is missing.
pub fn gelu(x: &Activation, save_point: &Arc<SavePoint>) -> Result<Activation> {
    pointwise("gelu", Op::Gelu, x, save_point, gelu::forward, gelu::backward)
}

/// `x (1 + tanh(sqrt(2/π) (x + 0.044715 x³))) / 2` for each element, which is within 0.0005 of [`gelu()`];
/// codecs treat it as a GELU.
///
/// # Errors
/// Returns an error if the codec cannot pack the input, or a kernel is missing.
pub fn gelu_tanh(x: &Activation, save_point: &Arc<SavePoint>) -> Result<Activation> {
    pointwise("gelu_tanh", Op::Gelu, x, save_point, gelu_tanh::forward, gelu_tanh::backward)
}

/// `x σ(x)` for each element, with the logistic function `σ`; with a codec, the gradient is the one
/// at the restored input.
///
/// # Errors
/// Returns an error if the codec cannot pack the input, or a kernel is missing.
pub fn silu(x: &Activation, save_point: &Arc<SavePoint>) -> Result<Activation> {
    pointwise("silu", Op::Silu, x, save_point, silu::forward, silu::backward)
}

fn pointwise(
    name: &'static str,
    op: Op<'static>,
    x: &Activation,
    save_point: &Arc<SavePoint>,
    forward: fn(&Tensor) -> packlight_kernels::Result<Tensor>,
    backward: fn(&Tensor, &Tensor) -> packlight_kernels::Result<Tensor>,
) -> Result<Activation> {
    let data = forward(x.data()).map_err(|e| save_point.failed(e))?;
    if !Needs::of(&[x], &[]).any() {
        return Ok(constant(data, x));
    }
    let input = x.save(save_point, op)?;
    output(name, data, &[x], &[], move |grad| {
        Ok(Gradients::input(input.gradient(op, &grad, |x| backward(x, &grad))?))
    })
}
