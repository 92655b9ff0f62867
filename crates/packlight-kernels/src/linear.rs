//! Fully connected layers: `Y = X W^T + b` over the last axis, for any leading axes.

use candle_core::Tensor;
use num_traits::Zero;
use rayon::prelude::*;

use crate::element::Element;
use crate::elements::{by_dtype, read};
use crate::matmul::{Matrix, multiply};
use crate::{Error, Result};

const KERNEL: &str = "linear";

/// Rows of a result that one piece of work takes.
const ROWS: usize = 64;

/// The output (..., m) for input (..., n), weight (m, n) and bias (m).
///
/// # Errors
/// If the shapes do not fit, or type or device have no kernel.
pub fn forward(input: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (m, n) = weight.dims2()?;
    let shape = replace_last(input, n, m, "input")?;
    if let Some(bias) = bias.filter(|bias| bias.dims() != [m]) {
        return Err(Error::shape(KERNEL, format!("bias ({m}) expected, {:?} found", bias.dims())));
    }
    let device = input.device();
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T, weight: T);
        let weight = Matrix::row_major(weight, m, n).transposed();
        let mut output = vec![T::zero(); shape.iter().product()];
        if let Some(bias) = bias {
            read!(KERNEL; bias: T);
            output.chunks_exact_mut(m.max(1)).for_each(|row| row.copy_from_slice(bias));
        }
        by_rows(&mut output, m, |output, start| {
            let rows = output.len() / m;
            let input = Matrix::row_major(&input[start * n..(start + rows) * n], rows, n);
            multiply(output, m, bias.is_some(), input, weight);
        });
        Ok(Tensor::from_vec(output, shape, device)?)
    })
}

/// The gradient of the input (..., n) for output gradient (..., m) and weight (m, n).
///
/// # Errors
/// If the shapes do not fit, or type or device have no kernel.
pub fn input_grad(grad: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let (m, n) = weight.dims2()?;
    let shape = replace_last(grad, m, n, "output gradient")?;
    let device = grad.device();
    by_dtype!(KERNEL, grad, T => {
        read!(KERNEL; grad: T, weight: T);
        let weight = Matrix::row_major(weight, m, n);
        let mut result = vec![T::zero(); shape.iter().product()];
        by_rows(&mut result, n, |result, start| {
            let rows = result.len() / n;
            let grad = Matrix::row_major(&grad[start * m..(start + rows) * m], rows, m);
            multiply(result, n, false, grad, weight);
        });
        Ok(Tensor::from_vec(result, shape, device)?)
    })
}

/// The gradient of the weight (m, n): `G^T X`, for output gradient (..., m) and input (..., n).
///
/// # Errors
/// If the shapes do not fit, or type or device have no kernel.
pub fn weight_grad(input: &Tensor, grad: &Tensor) -> Result<Tensor> {
    let ((tokens, n), (grads, m)) = (as_matrix(input)?, as_matrix(grad)?);
    if tokens != grads {
        return Err(Error::shape(
            KERNEL,
            format!(
                "input {:?} and output gradient {:?} differ in tokens",
                input.dims(),
                grad.dims()
            ),
        ));
    }
    let device = input.device();
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T, grad: T);
        let input = Matrix::row_major(input, tokens, n);
        let mut result = vec![T::zero(); m * n];
        by_rows(&mut result, n, |result, start| {
            let outputs = result.len() / n;
            let grad = Matrix::strided(&grad[start.min(grad.len())..], tokens, outputs, m);
            multiply(result, n, false, grad.transposed(), input);
        });
        Ok(Tensor::from_vec(result, (m, n), device)?)
    })
}

/// The gradient of the weight (m, `width`) for an input of which only the means over `block`
/// neighbouring features are left, as [`crate::block_pool::pool_features`] gives them; takes
/// 1/block of the multiplications.
///
/// # Errors
/// If the shapes do not fit, or type or device have no kernel.
pub fn weight_grad_from_pooled(
    pooled: &Tensor,
    block: usize,
    width: usize,
    grad: &Tensor,
) -> Result<Tensor> {
    crate::block_pool::unpool_features(&weight_grad(pooled, grad)?, block, width)
}

/// The gradient of the bias: the sum of `grad` (..., m) over all tokens.
///
/// # Errors
/// If `grad` is a scalar, or type or device have no kernel.
pub fn bias_grad(grad: &Tensor) -> Result<Tensor> {
    let (_, m) = as_matrix(grad)?;
    let device = grad.device();
    by_dtype!(KERNEL, grad, T => {
        read!(KERNEL; grad: T);
        let mut sums = vec![0.0; m];
        for row in grad.chunks_exact(m.max(1)) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += value.wide();
            }
        }
        let sums: Vec<T> = sums.into_iter().map(T::narrow).collect();
        Ok(Tensor::from_vec(sums, m, device)?)
    })
}

/// The shape of `tensor` with `to` in place of its last axis, which must be `from` long.
fn replace_last(tensor: &Tensor, from: usize, to: usize, what: &str) -> Result<Vec<usize>> {
    match tensor.dims().split_last() {
        Some((&last, leading)) if last == from => Ok([leading, &[to]].concat()),
        _ => Err(Error::shape(
            KERNEL,
            format!("{what} (..., {from}) expected, {:?} found", tensor.dims()),
        )),
    }
}

/// Tokens and features of a tensor (..., features).
fn as_matrix(tensor: &Tensor) -> Result<(usize, usize)> {
    match tensor.dims().split_last() {
        Some((&last, leading)) => Ok((leading.iter().product(), last)),
        None => Err(Error::shape(KERNEL, "a scalar has no features")),
    }
}

/// Calls `f` with pieces of whole rows and the number of each piece's first row.
fn by_rows<T: Element>(target: &mut [T], width: usize, f: impl Fn(&mut [T], usize) + Sync) {
    if !target.is_empty() {
        let pieces = target.par_chunks_mut(ROWS * width).enumerate();
        pieces.for_each(|(piece, rows)| f(rows, piece * ROWS));
    }
}
