//! Residual addition. Saves nothing, and passes one gradient to both.

use packlight_kernels::accumulate;

use crate::operation::{Gradients, Needs, constant, output};
use crate::{Activation, Result};

/// `a + b`, of the same shape.
///
/// # Errors
/// Returns an error if the shapes differ, or a kernel is missing.
pub fn add(a: &Activation, b: &Activation) -> Result<Activation> {
    let data = accumulate::add(a.data(), b.data())?;
    let needs = Needs::of(&[a, b], &[]);
    if !needs.any() {
        return Ok(constant(data, a));
    }
    output("add", data, &[a, b], &[], move |grad| {
        let inputs = needs.inputs.iter().map(|&need| need.then(|| grad.clone())).collect();
        Ok(Gradients { inputs, parameters: Vec::new() })
    })
}
