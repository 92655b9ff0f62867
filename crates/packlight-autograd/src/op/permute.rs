//! The axes of an activation in another order. Saves nothing.

use packlight_codec::AxisLayout;
use packlight_kernels::permute;

use crate::operation::{Gradients, Needs, constant, output};
use crate::{Activation, Result};

/// `x` with its axes in the order `axes`: axis i of the result is axis `axes[i]` of `x`. To codecs the
/// result is tokens (..., features), unless [`Activation::with_axes`] says otherwise.
///
/// # Errors
/// Returns an error if `axes` does not name each axis once, or a kernel is missing.
pub fn permute(x: &Activation, axes: &[usize]) -> Result<Activation> {
    let data = permute::permute(x.data(), axes)?;
    if !Needs::of(&[x], &[]).any() {
        return Ok(constant(data, x).with_axes(AxisLayout::Tokens));
    }
    let back = permute::inverse(axes);
    let y = output("permute", data, &[x], &[], move |grad| {
        Ok(Gradients::input(permute::permute(&grad, &back)?))
    })?;
    Ok(y.with_axes(AxisLayout::Tokens))
}
