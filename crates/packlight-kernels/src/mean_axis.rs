//! The mean over one axis.

use candle_core::Tensor;
use num_traits::Zero;
use rayon::prelude::*;

use crate::blank::{blank, is_blank};
use crate::cuda::on_cuda;
use crate::dtype::Element;
use crate::tensor_io::{by_dtype, read};
use crate::{Error, Result};

const KERNEL: &str = "mean_axis";

/// The means of `tensor` over `axis`, which is removed.
///
/// # Errors
/// Returns an error if there is no such axis or it is empty, or the type or device is not
/// supported.
pub fn forward(tensor: &Tensor, axis: usize) -> Result<Tensor> {
    let (length, inner) = around(tensor.dims(), axis)?;
    let mut shape = tensor.dims().to_vec();
    shape.remove(axis);
    if is_blank(tensor) {
        return blank(shape, tensor.dtype());
    }
    on_cuda!(tensor => mean_axis::forward(tensor, axis));
    let device = tensor.device();
    by_dtype!(KERNEL, tensor, T => {
        read!(KERNEL; tensor: T);
        let mut result = vec![T::zero(); shape.iter().product()];
        result.par_chunks_mut(inner).zip(tensor.par_chunks(length * inner)).for_each(
            |(means, lines)| {
                let mut sums = vec![0.0; inner];
                for line in lines.chunks_exact(inner) {
                    sums.iter_mut().zip(line).for_each(|(sum, value)| *sum += value.wide());
                }
                for (mean, sum) in means.iter_mut().zip(sums) {
                    *mean = T::narrow(sum / length as f64);
                }
            },
        );
        Ok(Tensor::from_vec(result, shape, device)?)
    })
}

/// The gradient of a tensor of shape `dims` for the gradient of its means over `axis`.
///
/// # Errors
/// Returns an error if the shapes do not fit, or the type or device is not supported.
pub fn backward(grad: &Tensor, dims: &[usize], axis: usize) -> Result<Tensor> {
    let (length, inner) = around(dims, axis)?;
    let mut shape = dims.to_vec();
    shape.remove(axis);
    if grad.dims() != shape {
        let reason = format!("expected {shape:?}, found {:?}", grad.dims());
        return Err(Error::shape(KERNEL, reason));
    }
    on_cuda!(grad => mean_axis::backward(grad, dims, axis));
    let device = grad.device();
    by_dtype!(KERNEL, grad, T => {
        read!(KERNEL; grad: T);
        let share = T::narrow(1.0 / length as f64);
        let mut result = vec![T::zero(); dims.iter().product()];
        result.par_chunks_mut(length * inner).zip(grad.par_chunks(inner)).for_each(
            |(lines, grad)| {
                for line in lines.chunks_exact_mut(inner) {
                    line.iter_mut().zip(grad).for_each(|(value, &g)| *value = g * share);
                }
            },
        );
        Ok(Tensor::from_vec(result, dims, device)?)
    })
}

/// The length of `axis`, and the number of elements of all axes after it.
fn around(dims: &[usize], axis: usize) -> Result<(usize, usize)> {
    match dims.split_at_checked(axis) {
        Some((_, [length, rest @ ..])) if dims.iter().all(|&size| size > 0) => {
            Ok((*length, rest.iter().product()))
        }
        _ => Err(Error::shape(KERNEL, format!("{dims:?} has no axis {axis} to take a mean of"))),
    }
}
