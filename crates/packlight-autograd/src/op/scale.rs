//! Multiplication with a constant. Keeps nothing.

use crate::link::{Gradients, Needs, constant, output};
use crate::{Activation, Result};

/// `factor * x`.
///
/// # Errors
/// If candle cannot compute it.
pub fn scale(x: &Activation, factor: f64) -> Result<Activation> {
    let data = (x.data() * factor)?;
    if !Needs::of(&[x], &[]).any() {
        return Ok(constant(data, x));
    }
    output("scale", data, &[x], &[], move |grad| Ok(Gradients::input((grad * factor)?)))
}
