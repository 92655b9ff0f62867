//! ReLU6. Saves one bit per element.

use std::sync::Arc;

use packlight_kernels::{relu, relu6};
use packlight_record::KeptKind;

use crate::operation::{Gradients, Needs, constant, output_owning};
use crate::{Activation, Result, SavePoint};

/// `min(max(x, 0), 6)` for each element; the gradient is 0 where `x` is not between 0 and 6.
///
/// # Errors
/// Returns an error if a kernel is missing.
pub fn relu6(x: &Activation, save_point: &Arc<SavePoint>) -> Result<Activation> {
    if !Needs::of(&[x], &[]).any() {
        return Ok(constant(relu6::forward_only(x.data()).map_err(|e| save_point.failed(e))?, x));
    }
    let (data, mask) = relu6::forward(x.data()).map_err(|e| save_point.failed(e))?;
    let mask = x.save_tensor(save_point, KeptKind::Mask, mask);
    let save_point = save_point.clone();
    output_owning("relu6", data, &[x], &[], move |grad| {
        let grad = relu::backward(grad.tensor(), mask.value()).map_err(|e| save_point.failed(e))?;
        Ok(Gradients::input(grad))
    })
}
