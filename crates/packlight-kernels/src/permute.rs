//! Permutation of a tensor's axes.

use candle_core::Tensor;

use crate::blank::{blank, is_blank};
use crate::par_vec::build;
use crate::tensor_io::{by_dtype, read};
use crate::{Error, Result};

const KERNEL: &str = "permute";

/// Elements per parallel task, in whole rows.
const PIECE: usize = 16 * 1024;

/// `tensor` with its axes in the order `axes`: axis i of the result is axis `axes[i]` of `tensor`.
///
/// # Errors
/// Returns an error if `axes` does not name each axis once, or the type or device is not supported.
pub fn permute(tensor: &Tensor, axes: &[usize]) -> Result<Tensor> {
    let dims = tensor.dims();
    let mut sorted = axes.to_vec();
    sorted.sort_unstable();
    if sorted != (0..dims.len()).collect::<Vec<_>>() || dims.is_empty() {
        return Err(Error::shape(KERNEL, format!("{axes:?} does not order the axes of {dims:?}")));
    }
    let shape: Vec<usize> = axes.iter().map(|&axis| dims[axis]).collect();
    if is_blank(tensor) {
        return blank(shape, tensor.dtype());
    }
    if !tensor.device().is_cpu() {
        return Ok(tensor.permute(axes)?.contiguous()?); // candle's own kernel
    }
    let stride_of = |axis: usize| dims[axis + 1..].iter().product::<usize>();
    let strides: Vec<usize> = axes.iter().map(|&axis| stride_of(axis)).collect();
    let (outer, row) = (&shape[..shape.len() - 1], shape[shape.len() - 1].max(1));
    let step = strides[strides.len() - 1];
    let device = tensor.device();
    by_dtype!(KERNEL, tensor, T => {
        read!(KERNEL; tensor: T);
        let rows = (PIECE / row).max(1);
        let result = build(tensor.len(), rows * row, |piece, result: &mut [T]| {
            for (line, target) in result.chunks_exact_mut(row).enumerate() {
                let mut number = piece * rows + line;
                let mut start = 0;
                for (&size, &stride) in outer.iter().zip(&strides).rev() {
                    start += number % size * stride;
                    number /= size;
                }
                let source = &tensor[start..];
                match step {
                    1 => target.copy_from_slice(&source[..row]),
                    _ => target.iter_mut().zip(source.iter().step_by(step)).for_each(|(t, &s)| *t = s),
                }
            }
        });
        Ok(Tensor::from_vec(result, shape, device)?)
    })
}

/// The inverse permutation of `axes`.
pub fn inverse(axes: &[usize]) -> Vec<usize> {
    let mut back = vec![0; axes.len()];
    for (to, &from) in axes.iter().enumerate() {
        if let Some(place) = back.get_mut(from) {
            *place = to;
        }
    }
    back
}
