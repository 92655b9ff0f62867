//! [`accumulate`](crate::accumulate) on a CUDA device.

use candle_core::Tensor;

use super::{Call, Gpu, Launch};
use crate::Result;

/// `accumulate::add`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn add(gpu: &dyn Gpu, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let count = a.elem_count();
    let [sum] = Call::typed("accumulate_add", a.dtype(), Launch::elements(count))?
        .input(a)
        .input(b)
        .output(a.shape())
        .size(count)
        .run(gpu)?;
    Ok(sum)
}

/// `accumulate::add_in_place`.
///
/// # Errors
/// Returns an error if the target is not contiguous, the type is not supported or the device fails.
pub fn add_in_place(gpu: &dyn Gpu, target: &Tensor, addend: &Tensor) -> Result<()> {
    let count = target.elem_count();
    let [] = Call::typed("accumulate_add_in_place", target.dtype(), Launch::elements(count))?
        .in_out(target)
        .input(addend)
        .size(count)
        .run(gpu)?;
    Ok(())
}
