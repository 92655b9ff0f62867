//! [`mean_axis`](crate::mean_axis) on a CUDA device.

use candle_core::Tensor;

use super::{Call, Gpu, Launch};
use crate::Result;

/// `mean_axis::forward`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn forward(gpu: &dyn Gpu, tensor: &Tensor, axis: usize) -> Result<Tensor> {
    let mut shape = tensor.dims().to_vec();
    let length = shape.remove(axis);
    let inner = shape[axis..].iter().product();
    let count = shape.iter().product();
    let [means] = Call::typed("mean_axis_forward", tensor.dtype(), Launch::elements(count))?
        .input(tensor)
        .output(shape)
        .size(count)
        .size(length)
        .size(inner)
        .run(gpu)?;
    Ok(means)
}

/// `mean_axis::backward`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn backward(gpu: &dyn Gpu, grad: &Tensor, dims: &[usize], axis: usize) -> Result<Tensor> {
    let count = dims.iter().product();
    let [result] = Call::typed("mean_axis_backward", grad.dtype(), Launch::elements(count))?
        .input(grad)
        .output(dims)
        .size(count)
        .size(dims[axis])
        .size(dims[axis + 1..].iter().product())
        .run(gpu)?;
    Ok(result)
}
