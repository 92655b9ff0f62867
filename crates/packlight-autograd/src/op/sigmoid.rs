//! The logistic function. Saves its output, which the product that follows can share.

use std::sync::Arc;

use packlight_codec::Op;
use packlight_kernels::sigmoid;

use crate::operation::{Gradients, Needs, constant, output};
use crate::{Activation, Result, SavePoint};

/// `1 / (1 + e^-x)` for each element. With a codec, the gradient is that at the restored output.
///
/// # Errors
/// Returns an error if the codec cannot pack the output, or a kernel is missing.
pub fn sigmoid(x: &Activation, save_point: &Arc<SavePoint>) -> Result<Activation> {
    let data = sigmoid::forward(x.data()).map_err(|e| save_point.failed(e))?;
    if !Needs::of(&[x], &[]).any() {
        return Ok(constant(data, x));
    }
    let gates = constant(data.clone(), x).save(save_point, Op::Sigmoid)?;
    let saved = gates.clone();
    let y = output("sigmoid", data, &[x], &[], move |grad| {
        Ok(Gradients::input(saved.compute(|restored| sigmoid::backward(restored, &grad))?))
    })?;
    y.share(&gates);
    Ok(y)
}
