//! Zeros behind the elements of an axis. Saves nothing.

use packlight_kernels::blank::{blank, is_blank};

use crate::operation::{Gradients, Needs, constant, output};
use crate::{Activation, Error, Result};

/// `x` with so many zeros `behind` the elements of `axis`.
///
/// # Errors
/// Returns an error if there is no such axis.
pub fn pad(x: &Activation, axis: usize, behind: usize) -> Result<Activation> {
    if behind == 0 {
        return Ok(x.clone());
    }
    let mut shape = x.dims().to_vec();
    let Some(size) = shape.get_mut(axis) else {
        let reason = format!("an axis of {:?} expected, {axis} found", x.dims());
        return Err(Error::Shape { op: "pad", reason });
    };
    let own = *size;
    *size += behind;
    let data = match is_blank(x.data()) {
        true => blank(shape, x.data().dtype())?,
        false => x.data().pad_with_zeros(axis, 0, behind)?,
    };
    if !Needs::of(&[x], &[]).any() {
        return Ok(constant(data, x));
    }
    output("pad", data, &[x], &[], move |grad| {
        Ok(Gradients::input(grad.narrow(axis, 0, own)?.force_contiguous()?))
    })
}
