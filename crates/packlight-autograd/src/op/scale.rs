//! Multiplication with a constant. Saves nothing.

use packlight_kernels::blank::is_blank;

use crate::operation::{Gradients, Needs, constant, output};
use crate::{Activation, Result};

/// `factor * x`.
///
/// # Errors
/// Returns an error if candle cannot compute it.
pub fn scale(x: &Activation, factor: f64) -> Result<Activation> {
    let data = match is_blank(x.data()) {
        true => x.data().clone(),
        false => (x.data() * factor)?,
    };
    if !Needs::of(&[x], &[]).any() {
        return Ok(constant(data, x));
    }
    output("scale", data, &[x], &[], move |grad| Ok(Gradients::input((grad * factor)?)))
}
