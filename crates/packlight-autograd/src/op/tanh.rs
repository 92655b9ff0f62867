//! The hyperbolic tangent. Saves its output.

use std::sync::Arc;

use packlight_codec::Op;
use packlight_kernels::tanh;

use crate::operation::{Gradients, Needs, constant, output};
use crate::{Activation, Result, SavePoint};

/// `tanh x` for each element. With a codec, the gradient is that at the restored output.
///
/// # Errors
/// Returns an error if the codec cannot pack the output, or a kernel is missing.
pub fn tanh(x: &Activation, save_point: &Arc<SavePoint>) -> Result<Activation> {
    let data = tanh::forward(x.data()).map_err(|e| save_point.failed(e))?;
    if !Needs::of(&[x], &[]).any() {
        return Ok(constant(data, x));
    }
    let saved = constant(data.clone(), x).save(save_point, Op::Tanh)?;
    let copy = saved.clone();
    let y = output("tanh", data, &[x], &[], move |grad| {
        Ok(Gradients::input(saved.compute(|restored| tanh::backward(restored, &grad))?))
    })?;
    y.share(&copy);
    Ok(y)
}
