//! ReLU. Saves one bit per element, or nothing where a packed copy of its input tells the sign.

use std::sync::Arc;

use candle_core::Tensor;
use packlight_codec::{Bytes, Op, Packed};
use packlight_kernels::relu;
use packlight_record::KeptKind;

use crate::gradient::Gradient;
use crate::operation::{Gradients, Needs, constant, output_owning};
use crate::{Activation, Result, SavePoint, SavedInput};

/// `max(x, 0)` for each element; written over `x` where that is given by value and of no more use.
///
/// Behind a norm whose codec packs normalised values, a ReLU with the same codec saves nothing: its
/// mask is the sign of the norm's packed output, and the next layer shares that output, rectified.
///
/// # Errors
/// Returns an error if a kernel is missing.
pub fn relu(x: impl Into<Activation>, save_point: &Arc<SavePoint>) -> Result<Activation> {
    let x = x.into();
    let needs = Needs::of(&[&x], &[]).any();
    if needs
        && save_point.codec().norm_output().is_some()
        && let Some(output_of_norm) = x.saved_alike(save_point, Op::Relu)?
    {
        return behind_norm(&x, output_of_norm, save_point);
    }
    let (data, mask) = match x.writable() {
        Some(data) => relu::forward_in_place(data).map(|mask| (data.clone(), Some(mask))),
        None if needs => relu::forward(x.values()).map(|(data, mask)| (data, Some(mask))),
        None => relu::forward_only(x.values()).map(|data| (data, None)),
    }
    .map_err(|e| save_point.failed(e))?;
    let Some(mask) = mask.filter(|_| needs) else {
        return Ok(constant(data, &x).of_its_own());
    };
    let mask = x.save_tensor(save_point, KeptKind::Mask, mask);
    let save_point = save_point.clone();
    let y = output_owning("relu", data, &[&x], &[], move |grad| {
        Ok(Gradients::input(masked(grad, mask.value()).map_err(|e| save_point.failed(e))?))
    })?;
    Ok(y.of_its_own())
}

/// The gradient where the mask is set and 0 elsewhere, written over what arrives where that is owned.
pub(super) fn masked(grad: Gradient, mask: &Tensor) -> packlight_kernels::Result<Tensor> {
    match grad {
        Gradient::Owned(grad) if grad.device().is_cpu() => {
            relu::backward_in_place(&grad, mask)?;
            Ok(grad)
        }
        grad => relu::backward(grad.tensor(), mask),
    }
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
            masked(grad, &mask)
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
