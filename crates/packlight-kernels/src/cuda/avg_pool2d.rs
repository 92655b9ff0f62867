//! [`avg_pool2d`](crate::avg_pool2d) on a CUDA device.

use candle_core::Tensor;

use super::{Call, Gpu, Launch};
use crate::Result;

/// `avg_pool2d::forward` to this output size.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn forward(
    gpu: &dyn Gpu,
    images: &Tensor,
    kernel: (usize, usize),
    stride: (usize, usize),
    (rows, columns): (usize, usize),
) -> Result<Tensor> {
    let (n, c, height, width) = images.dims4()?;
    let count = n * c * rows * columns;
    let [means] = Call::typed("avg_pool2d_forward", images.dtype(), Launch::elements(count))?
        .input(images)
        .output((n, c, rows, columns))
        .size(count)
        .size(height)
        .size(width)
        .size(rows)
        .size(columns)
        .size(kernel.0)
        .size(kernel.1)
        .size(stride.0)
        .size(stride.1)
        .run(gpu)?;
    Ok(means)
}

/// `avg_pool2d::backward`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn backward(
    gpu: &dyn Gpu,
    grad: &Tensor,
    shape: &[usize],
    kernel: (usize, usize),
    stride: (usize, usize),
) -> Result<Tensor> {
    let (_, _, rows, columns) = grad.dims4()?;
    let count = shape.iter().product();
    let [result] = Call::typed("avg_pool2d_backward", grad.dtype(), Launch::elements(count))?
        .input(grad)
        .output(shape)
        .size(count)
        .size(shape[2])
        .size(shape[3])
        .size(rows)
        .size(columns)
        .size(kernel.0)
        .size(kernel.1)
        .size(stride.0)
        .size(stride.1)
        .run(gpu)?;
    Ok(result)
}

/// `avg_pool2d::global`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn global(gpu: &dyn Gpu, images: &Tensor) -> Result<Tensor> {
    let (n, c, height, width) = images.dims4()?;
    let [means] = Call::typed("avg_pool2d_global", images.dtype(), Launch::warps(n * c))?
        .input(images)
        .output((n, c))
        .size(n * c)
        .size(height * width)
        .run(gpu)?;
    Ok(means)
}

/// `avg_pool2d::global_backward`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn global_backward(gpu: &dyn Gpu, grad: &Tensor, size: (usize, usize)) -> Result<Tensor> {
    let (n, c) = grad.dims2()?;
    let (pixels, count) = (size.0 * size.1, n * c * size.0 * size.1);
    let launch = Launch::elements(count);
    let [result] = Call::typed("avg_pool2d_global_backward", grad.dtype(), launch)?
        .input(grad)
        .output((n, c, size.0, size.1))
        .size(count)
        .size(pixels)
        .run(gpu)?;
    Ok(result)
}
