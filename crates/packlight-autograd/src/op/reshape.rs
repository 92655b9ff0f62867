//! The same elements in another shape. Saves nothing.

use crate::operation::{Gradients, Needs, constant, output};
use crate::{Activation, Error, Result};
use packlight_codec::AxisLayout;
use packlight_kernels::blank;

/// `x` with shape `dims`, of as many elements. To codecs the result is tokens (..., features), unless
/// [`Activation::with_axes`] says otherwise.
///
/// # Errors
/// Returns an error if the number of elements differs.
pub fn reshape(x: &Activation, dims: &[usize]) -> Result<Activation> {
    let data = blank::reshape(x.data(), dims)?;
    x.is_viewed_as(&data);
    if !Needs::of(&[x], &[]).any() {
        return Ok(constant(data, x).with_axes(AxisLayout::Tokens));
    }
    let shape = x.dims().to_vec();
    let y =
        output("reshape", data, &[x], &[], move |grad| Ok(Gradients::input(grad.reshape(shape)?)))?;
    Ok(y.with_axes(AxisLayout::Tokens))
}

/// `x` (N,...) as (N, all the rest).
///
/// # Errors
/// Returns an error if `x` is a scalar.
pub fn flatten(x: &Activation) -> Result<Activation> {
    match x.dims() {
        &[first, ref rest @ ..] => reshape(x, &[first, rest.iter().product()]),
        [] => Err(Error::Shape { op: "flatten", reason: "a scalar has no axes".into() }),
    }
}
