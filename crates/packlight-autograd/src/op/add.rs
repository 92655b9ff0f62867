//! Residual addition. Saves nothing, and passes one gradient to both.

use candle_core::Tensor;
use packlight_kernels::accumulate;

use crate::operation::{Gradients, Needs, constant, output};
use crate::{Activation, Result};

/// `a + b`, of the same shape; written over one of them that is given by value and of no more use.
///
/// # Errors
/// Returns an error if the shapes differ, or a kernel is missing.
pub fn add(a: impl Into<Activation>, b: impl Into<Activation>) -> Result<Activation> {
    let (a, b) = (a.into(), b.into());
    let data = match (a.writable(), b.writable()) {
        (Some(sum), _) => added(sum, b.values())?,
        (None, Some(sum)) => added(sum, a.values())?,
        (None, None) => accumulate::add(a.values(), b.values())?,
    };
    let needs = Needs::of(&[&a, &b], &[]);
    if !needs.any() {
        return Ok(constant(data, &a).of_its_own());
    }
    let y = output("add", data, &[&a, &b], &[], move |grad| {
        let inputs = needs.inputs.iter().map(|&need| need.then(|| grad.clone())).collect();
        Ok(Gradients { inputs, parameters: Vec::new() })
    })?;
    Ok(y.of_its_own())
}

/// `sum`, after `addend` was added to it in place. The bits are those of either order.
fn added(sum: &Tensor, addend: &Tensor) -> Result<Tensor> {
    accumulate::add_in_place(sum, addend)?;
    Ok(sum.clone())
}
