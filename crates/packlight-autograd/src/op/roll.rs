//! The elements of an axis shifted in a circle. Saves nothing.

use candle_core::Tensor;
use packlight_kernels::blank::is_blank;

use crate::operation::{Gradients, Needs, constant, output};
use crate::{Activation, Error, Result};

/// `x` with the elements of `axis` moved `by` places, those at the end to the beginning.
///
/// # Errors
/// Returns an error if there is no such axis.
pub fn roll(x: &Activation, axis: usize, by: usize) -> Result<Activation> {
    let Some(&size) = x.dims().get(axis).filter(|&&size| size > 0) else {
        let reason = format!("an axis of {:?} expected, {axis} found", x.dims());
        return Err(Error::Shape { op: "roll", reason });
    };
    let by = by % size;
    if by == 0 {
        return Ok(x.clone());
    }
    let data = if is_blank(x.data()) { x.data().clone() } else { rolled(x.data(), axis, by)? };
    if !Needs::of(&[x], &[]).any() {
        return Ok(constant(data, x));
    }
    output("roll", data, &[x], &[], move |grad| {
        Ok(Gradients::input(rolled(&grad, axis, size - by)?))
    })
}

fn rolled(x: &Tensor, axis: usize, by: usize) -> Result<Tensor> {
    let ahead = x.dim(axis)? - by;
    let parts = [x.narrow(axis, ahead, by)?, x.narrow(axis, 0, ahead)?];
    Ok(Tensor::cat(&parts, axis)?.force_contiguous()?)
}
