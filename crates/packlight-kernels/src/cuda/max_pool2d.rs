//! [`max_pool2d`](crate::max_pool2d) on a CUDA device.

use candle_core::{DType, Tensor};

use super::{Call, Gpu, Launch};
use crate::Result;
use crate::max_pool2d::Windows;

/// `max_pool2d::forward`.
///
/// # Errors
/// Returns an error if the windows do not fit, the type is not supported or the device fails.
pub fn forward(gpu: &dyn Gpu, images: &Tensor, windows: &Windows) -> Result<(Tensor, Tensor)> {
    let (n, c, height, width) = images.dims4()?;
    let (rows, columns) = windows.output_size(height, width)?;
    let (name, places) = match windows.pixels() <= 256 {
        true => ("max_pool2d_forward", DType::U8),
        false => ("max_pool2d_forward_large", DType::U32),
    };
    let shape = (n, c, rows, columns);
    let count = n * c * rows * columns;
    let call = Call::typed(name, images.dtype(), Launch::elements(count))?
        .input(images)
        .output(shape)
        .output_of(places, shape)
        .size(count);
    let [maxima, places] = sizes(call, (height, width), (rows, columns), windows).run(gpu)?;
    Ok((maxima, places))
}

/// `max_pool2d::backward`.
///
/// # Errors
/// Returns an error if the windows do not fit, the type is not supported or the device fails.
pub fn backward(
    gpu: &dyn Gpu,
    grad: &Tensor,
    indices: &Tensor,
    shape: &[usize],
    windows: &Windows,
) -> Result<Tensor> {
    let (_, _, rows, columns) = grad.dims4()?;
    let name = match indices.dtype() {
        DType::U8 => "max_pool2d_backward",
        _ => "max_pool2d_backward_large",
    };
    let count = shape.iter().product();
    let call = Call::typed(name, grad.dtype(), Launch::elements(count))?
        .input(grad)
        .input_of(indices.dtype(), indices)
        .output(shape)
        .size(count);
    let [result] = sizes(call, (shape[2], shape[3]), (rows, columns), windows).run(gpu)?;
    Ok(result)
}

/// Adds the sizes of planes, pooled planes and windows.
fn sizes(
    call: Call,
    (height, width): (usize, usize),
    (rows, columns): (usize, usize),
    windows: &Windows,
) -> Call {
    call.size(height)
        .size(width)
        .size(rows)
        .size(columns)
        .size(windows.kernel.0)
        .size(windows.kernel.1)
        .size(windows.stride.0)
        .size(windows.stride.1)
        .size(windows.padding.0)
        .size(windows.padding.1)
}
