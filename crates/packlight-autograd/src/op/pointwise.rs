//! GELU in its exact and its approximate form, and SiLU. All save their input, over which they write their output
//! where it is given by value and of no more use.

use std::sync::Arc;

use candle_core::Tensor;
use packlight_codec::Op;
use packlight_kernels::values::Values;
use packlight_kernels::{Result as KernelResult, gelu, gelu_tanh, silu};

use crate::gradient::Gradient;
use crate::operation::{Gradients, Needs, constant, output_owning};
use crate::{Activation, Result, SavePoint};

/// `x Φ(x)` for each element; written over `x` where that is given by value and of no more use. With a codec, the
/// gradient is that at the restored input.
///
/// # Errors
/// Returns an error if the codec cannot pack the input, or a kernel is missing.
pub fn gelu(x: impl Into<Activation>, save_point: &Arc<SavePoint>) -> Result<Activation> {
    let kernels = Kernels {
        forward: gelu::forward,
        forward_in_place: gelu::forward_in_place,
        backward: gelu::backward,
        backward_in_place: gelu::backward_in_place,
    };
    pointwise("gelu", Op::Gelu, x.into(), save_point, kernels)
}

/// `x (1 + tanh(sqrt(2/π) (x + 0.044715 x³))) / 2` for each element, which is within 0.0005 of [`gelu()`]; written
/// over `x` as that is. Codecs treat it as a GELU.
///
/// # Errors
/// Returns an error if the codec cannot pack the input, or a kernel is missing.
pub fn gelu_tanh(x: impl Into<Activation>, save_point: &Arc<SavePoint>) -> Result<Activation> {
    let kernels = Kernels {
        forward: gelu_tanh::forward,
        forward_in_place: gelu_tanh::forward_in_place,
        backward: gelu_tanh::backward,
        backward_in_place: gelu_tanh::backward_in_place,
    };
    pointwise("gelu_tanh", Op::Gelu, x.into(), save_point, kernels)
}

/// `x σ(x)` for each element, with the logistic function `σ`; written over `x` where that is given by value and of no
/// more use. With a codec, the gradient is the one at the restored input.
///
/// # Errors
/// Returns an error if the codec cannot pack the input, or a kernel is missing.
pub fn silu(x: impl Into<Activation>, save_point: &Arc<SavePoint>) -> Result<Activation> {
    let kernels = Kernels {
        forward: silu::forward,
        forward_in_place: silu::forward_in_place,
        backward: silu::backward,
        backward_in_place: silu::backward_in_place,
    };
    pointwise("silu", Op::Silu, x.into(), save_point, kernels)
}

/// The kernels of one function.
struct Kernels {
    forward: fn(&Tensor) -> KernelResult<Tensor>,
    forward_in_place: fn(&Tensor) -> KernelResult<()>,
    backward: fn(Values<'_>, &Tensor) -> KernelResult<Tensor>,
    backward_in_place: fn(Values<'_>, &Tensor) -> KernelResult<()>,
}

/// The output is written over the input where that is of no more use, the input's gradient over the output's where that
/// is owned.
fn pointwise(
    name: &'static str,
    op: Op<'static>,
    x: Activation,
    save_point: &Arc<SavePoint>,
    kernels: Kernels,
) -> Result<Activation> {
    let needs = Needs::of(&[&x], &[]).any();
    let saved = needs.then(|| x.save_and_yield(save_point, op)).transpose()?;
    let data = match x.writable() {
        Some(data) => (kernels.forward_in_place)(data).map(|()| data.clone()),
        None => (kernels.forward)(x.values()),
    };
    let data = data.map_err(|e| save_point.failed(e))?;
    let Some(saved) = saved else { return Ok(constant(data, &x).of_its_own()) };
    let y = output_owning(name, data, &[&x], &[], move |grad| {
        let by_input = saved.gradient_reading(op, grad.tensor(), |x| match &grad {
            Gradient::Owned(grad) if grad.device().is_cpu() => {
                (kernels.backward_in_place)(x, grad).map(|()| grad.clone())
            }
            grad => (kernels.backward)(x, grad.tensor()),
        });
        Ok(Gradients::input(by_input?))
    })?;
    Ok(y.of_its_own())
}
