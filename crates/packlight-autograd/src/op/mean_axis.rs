//! The mean over one axis. Saves nothing.

use packlight_codec::AxisLayout;
use packlight_kernels::mean_axis;

use crate::operation::{Gradients, Needs, constant, output};
use crate::{Activation, Result};

/// The means of `x` over `axis`, which the result lacks.
///
/// # Errors
/// Returns an error if there is no such axis or it is empty, or a kernel is missing.
pub fn mean_axis(x: &Activation, axis: usize) -> Result<Activation> {
    let data = mean_axis::forward(x.data(), axis)?;
    if !Needs::of(&[x], &[]).any() {
        return Ok(constant(data, x).with_axes(AxisLayout::Tokens));
    }
    let shape = x.dims().to_vec();
    let y = output("mean_axis", data, &[x], &[], move |grad| {
        let grad = mean_axis::backward(&grad, &shape, axis)?;
        Ok(Gradients::input(grad))
    })?;
    Ok(y.with_axes(AxisLayout::Tokens))
}
