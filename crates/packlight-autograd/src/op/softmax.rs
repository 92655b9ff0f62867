//! Softmax over the last axis. Saves its output, which the product that follows can share.

use std::sync::Arc;

use packlight_codec::Op;
use packlight_kernels::softmax::{self, Visible};

use crate::gradient::Gradient;
use crate::operation::{Gradients, Needs, constant, output_owning};
use crate::{Activation, Result, SavePoint};

/// The probabilities for scores `x` (..., n), of which each row counts what is `visible`; written over `x` where that
/// is given by value and of no more use. With a codec, the gradient is that at the restored probabilities.
///
/// # Errors
/// Returns an error if the lengths do not fit, the codec cannot pack the output, or a kernel is
/// missing.
pub fn softmax(
    x: impl Into<Activation>,
    visible: &Visible,
    save_point: &Arc<SavePoint>,
) -> Result<Activation> {
    let x = &x.into();
    let data = match x.writable() {
        Some(data) => softmax::forward_in_place(data, visible).map(|()| data.clone()),
        None => softmax::forward(x.values(), visible),
    };
    let data = data.map_err(|e| save_point.failed(e))?;
    if !Needs::of(&[x], &[]).any() {
        return Ok(constant(data, x));
    }
    let probabilities = constant(data.clone(), x).save(save_point, Op::Softmax)?;
    let saved = probabilities.clone();
    let y = output_owning("softmax", data, &[x], &[], move |grad| {
        let by_scores = saved.compute(|restored| match &grad {
            Gradient::Owned(grad) if grad.device().is_cpu() => {
                softmax::backward_in_place(restored, grad).map(|()| grad.clone())
            }
            grad => softmax::backward(restored, grad.tensor()),
        });
        Ok(Gradients::input(by_scores?))
    })?;
    y.share(&probabilities);
    Ok(y)
}
