//! [`patches`](crate::patches) on a CUDA device.

use candle_core::Tensor;

use super::{Call, Gpu, Launch};
use crate::Result;
use crate::patches::Patches;

/// `patches::means`, or `patches::sums` unless `mean`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn reduce(
    gpu: &dyn Gpu,
    images: &Tensor,
    rows: Patches,
    columns: Patches,
    mean: bool,
) -> Result<Tensor> {
    let (n, c, height, width) = images.dims4()?;
    let shape = (n, c, rows.count, columns.count);
    let count = n * c * rows.count * columns.count;
    let call = Call::typed("patches_reduce", images.dtype(), Launch::elements(count))?
        .input(images)
        .output(shape)
        .size(count)
        .u32(mean.into());
    let [result] = with_axes(call, [(rows, height), (columns, width)]).run(gpu)?;
    Ok(result)
}

/// `patches::spread`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn spread(
    gpu: &dyn Gpu,
    values: &Tensor,
    rows: Patches,
    columns: Patches,
    (height, width): (usize, usize),
    share: bool,
) -> Result<Tensor> {
    let (n, c, _, _) = values.dims4()?;
    let count = n * c * height * width;
    let call = Call::typed("patches_spread", values.dtype(), Launch::elements(count))?
        .input(values)
        .output((n, c, height, width))
        .size(count)
        .u32(share.into());
    let [images] = with_axes(call, [(rows, height), (columns, width)]).run(gpu)?;
    Ok(images)
}

/// `patches::interpolate`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn interpolate(
    gpu: &dyn Gpu,
    values: &Tensor,
    rows: Patches,
    columns: Patches,
    (height, width): (usize, usize),
) -> Result<Tensor> {
    let (n, c, _, _) = values.dims4()?;
    let count = n * c * height * width;
    let call = Call::typed("patches_interpolate", values.dtype(), Launch::elements(count))?
        .input(values)
        .output((n, c, height, width))
        .size(count);
    let [images] = with_axes(call, [(rows, height), (columns, width)]).run(gpu)?;
    Ok(images)
}

/// Adds the patches of both axes, and how many pixels these have.
fn with_axes(call: Call, axes: [(Patches, usize); 2]) -> Call {
    axes.into_iter().fold(call, |call, (patches, length)| {
        // A size is passed on as a signed number, which `before` is.
        call.size(patches.count).size(patches.size).size(patches.before as usize).size(length)
    })
}
