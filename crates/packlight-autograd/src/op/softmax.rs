//! Softmax over the last axis. Saves its output, which the product that follows can share.

use std::sync::Arc;

use packlight_codec::Op;
use packlight_kernels::softmax::{self, Visible};

use crate::operation::{Gradients, Needs, constant, output};
use crate::{Activation, Result, SavePoint};

/// The probabilities for scores `x` (..., n), of which each row counts what is `visible`. With a
/// codec, the gradient is that at the restored probabilities.
///
/// # Errors
/// Returns an error if the lengths do not fit, the codec cannot pack the output, or a kernel is
/// missing.
pub fn softmax(
    x: &Activation,
    visible: &Visible,
    save_point: &Arc<SavePoint>,
) -> Result<Activation> {
    let data = softmax::forward(x.data(), visible).map_err(|e| save_point.failed(e))?;
    if !Needs::of(&[x], &[]).any() {
        return Ok(constant(data, x));
    }
    let probabilities = constant(data.clone(), x).save(save_point, Op::Softmax)?;
    let saved = probabilities.clone();
    let y = output("softmax", data, &[x], &[], move |grad| {
        Ok(Gradients::input(saved.compute(|restored| softmax::backward(restored, &grad))?))
    })?;
    y.share(&probabilities);
    Ok(y)
}
