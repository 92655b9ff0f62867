//! A part of an activation along one axis. Saves nothing.

use std::ops::Range;

use packlight_kernels::blank::is_blank;

use crate::operation::{Gradients, Needs, constant, output};
use crate::{Activation, Result};

/// The elements of `x` whose index along `axis` is in `range`, as a copy that does not keep the
/// others alive.
///
/// # Errors
/// Returns an error if there is no such axis or no such part of it.
pub fn slice(x: &Activation, axis: usize, range: Range<usize>) -> Result<Activation> {
    let part = x.data().narrow(axis, range.start, range.len())?;
    let data = if is_blank(&part) { part } else { part.force_contiguous()? };
    if !Needs::of(&[x], &[]).any() {
        return Ok(constant(data, x));
    }
    let (slot, shape) = (x.link().map(|link| link.slot.clone()), x.data().shape().clone());
    output("slice", data, &[x], &[], move |grad| {
        // Added where it belongs, without the zeros around it.
        if let Some(slot) = slot {
            slot.add_part(&grad, &shape, axis, range.start)?;
        }
        Ok(Gradients::default())
    })
}
