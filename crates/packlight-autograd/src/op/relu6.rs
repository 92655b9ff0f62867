//! ReLU6. Saves one bit per element.

use std::sync::Arc;

use packlight_kernels::relu6;
use packlight_record::KeptKind;

use super::relu::masked;
use crate::operation::{Gradients, Needs, constant, output_owning};
use crate::{Activation, Result, SavePoint};

/// `min(max(x, 0), 6)` for each element; the gradient is 0 where `x` is not between 0 and 6. It is written over
/// `x` where that is given by value and of no more use.
///
/// # Errors
/// Returns an error if a kernel is missing.
pub fn relu6(x: impl Into<Activation>, save_point: &Arc<SavePoint>) -> Result<Activation> {
    let x = x.into();
    let needs = Needs::of(&[&x], &[]).any();
    let (data, mask) = match x.writable() {
        Some(data) => relu6::forward_in_place(data).map(|mask| (data.clone(), Some(mask))),
        None if needs => relu6::forward(x.values()).map(|(data, mask)| (data, Some(mask))),
        None => relu6::forward_only(x.values()).map(|data| (data, None)),
    }
    .map_err(|e| save_point.failed(e))?;
    let Some(mask) = mask.filter(|_| needs) else {
        return Ok(constant(data, &x).of_its_own());
    };
    let mask = x.save_tensor(save_point, KeptKind::Mask, mask);
    let save_point = save_point.clone();
    let y = output_owning("relu6", data, &[&x], &[], move |grad| {
        Ok(Gradients::input(masked(grad, mask.value()).map_err(|e| save_point.failed(e))?))
    })?;
    Ok(y.of_its_own())
}
