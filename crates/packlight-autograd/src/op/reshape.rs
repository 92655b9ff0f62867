//! The same elements in another shape. Keeps nothing.

use crate::gradient::Gradient;
use crate::link::{Gradients, Needs, constant, output};
use crate::{Activation, Error, Result};

/// `x` with shape `dims`, of as many elements.
///
/// # Errors
/// If the number of elements differs.
pub fn reshape(x: &Activation, dims: &[usize]) -> Result<Activation> {
    let data = x.data().reshape(dims)?;
    if !Needs::of(&[x], &[]).any() {
        return Ok(constant(data, x));
    }
    let shape = x.dims().to_vec();
    output("reshape", data, &[x], &[], move |grad| {
        let tensor = grad.tensor.reshape(shape)?;
        Ok(Gradients::input(Gradient { tensor, shared: grad.shared }))
    })
}

/// `x` (N,...) as (N, all the rest).
///
/// # Errors
/// If `x` is a scalar.
pub fn flatten(x: &Activation) -> Result<Activation> {
    match x.dims() {
        &[first, ref rest @ ..] => reshape(x, &[first, rest.iter().product()]),
        [] => Err(Error::Shape { op: "flatten", reason: "a scalar has no axes".into() }),
    }
}
