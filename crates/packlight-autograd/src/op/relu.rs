//! ReLU. Saves one bit per element, or nothing where a packed copy of its input tells the sign.

use std::sync::Arc;

use candle_core::Tensor;
use packlight_codec::{Bytes, Op, Packed};
use packlight_kernels::relu;
use packlight_record::KeptKind;

use crate::operation::{Gradients, Needs, constant, output_owning};
use crate::{Activation, Result, SavePoint, SavedInput};

/// `max(x, 0)` for each element.
///
/// Behind a norm whose codec packs normalised values, a ReLU with the same codec saves nothing: its
/// mask is the sign of the norm's packed output, and the next layer shares that output, rectified.
///
/// # Errors
/// Returns an error if a kernel is missing.
pub fn relu(x: &Activation, save_point: &Arc<SavePoint>) -> Result<Activation> {
    if !Needs::of(&[x], &[]).any() {
        return Ok(constant(relu::forward_only(x.data()).map_err(|e| save_point.failed(e))?, x));
    }
    if save_point.codec().norm_output().is_some()
        && let Some(output_of_norm) = x.saved_alike(save_point, Op::Relu)?
    {
        return behind_norm(x, output_of_norm, save_point);
    }
    let (data, mask) = relu::forward(x.data()).map_err(|e| save_point.failed(e))?;
    let mask = x.save_tensor(save_point, KeptKind::Mask, mask);
    let save_point = save_point.clone();
    output_owning("relu", data, &[x], &[], move |grad| {
        let grad = relu::backward(grad.tensor(), mask.value()).map_err(|e| save_point.failed(e))?;
        Ok(Gradients::input(grad))
    })
}

fn behind_norm(
    x: &Activation,
    output_of_norm: SavedInput,
    save_point: &Arc<SavePoint>,
) -> Result<Activation> {
    let data = relu::forward_only(x.data()).map_err(|e| save_point.failed(e))?;
    let key = output_of_norm.key();
    let rectified = Box::new(Rectified(output_of_norm));
    let rectified = SavedInput::new(rectified, key, &data, x.pass(), save_point);
    let saved = rectified.clone();
    let y = output_owning("relu", data, &[x], &[], move |grad| {
        let by_input = saved.compute(|restored| {
            let (_, mask) = relu::forward(restored)?;
            relu::backward(grad.tensor(), &mask)
        });
        Ok(Gradients::input(by_input?))
    })?;
    y.share(&rectified);
    Ok(y)
}

/// A saved tensor as it is behind a ReLU, at no bytes of its own.
struct Rectified(SavedInput);

impl Packed for Rectified {
    fn bytes(&self) -> Bytes {
        Bytes::default()
    }

    fn unpack(&self) -> packlight_codec::Result<Tensor> {
        Ok(relu::forward_only(&self.0.packed().unpack()?)?)
    }
}
