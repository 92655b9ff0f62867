//! Fully connected layers: `Y = X W^T + b` over the last axis, for any leading axes.

use std::ops::Range;

use candle_core::{DType, Tensor};
use rayon::prelude::*;

use crate::blank::{blank, is_blank};
use crate::conv2d::Workspace;
use crate::cuda::on_cuda;
use crate::dtype::Element;
use crate::matmul::{Matrix, multiply, transpose, write_product};
use crate::par_vec::{Blank, write};
use crate::simd_dispatch::on_widest_vectors;
use crate::tensor_io::{by_dtype, read};
use crate::values::{Elements, Values};
use crate::{Error, Result};

const KERNEL: &str = "linear";

/// The most rows of a result per parallel task. A product lays out the other operand anew for each task,
/// which took an eighth of a ViT's step with tasks of 64 rows.
const ROWS: usize = 512;
/// The least rows of a task: laying out the other operand took almost half of a task of 48 rows.
const LEAST_ROWS: usize = 32;
/// The rows of a task where the order of sums depends on their number, and of a part of a bias's gradient.
const FIXED_ROWS: usize = 128;
/// With at most so many columns, the order of long sums depends on the number of rows.
const FEW_COLUMNS: usize = 64;

/// The output (..., m) for input (..., n), weight (m, n), which may be the view of a transposed tensor,
/// and bias (m).
///
/// # Errors
/// Returns an error if the shapes do not fit, or the type or device is not supported.
pub fn forward(input: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (m, n) = weight.dims2()?;
    let shape = replace_last(input, n, m, "input")?;
    if let Some(bias) = bias.filter(|bias| bias.dims() != [m]) {
        return Err(Error::shape(KERNEL, format!("expected bias ({m}), found {:?}", bias.dims())));
    }
    if is_blank(input) {
        return blank(shape, input.dtype());
    }
    on_cuda!(input => linear::forward(input, weight, bias, &shape));
    let device = input.device();
    // Each task would transpose it anew.
    let weight = laid_out(&weight.t()?)?;
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T, weight: T);
        let weight = Matrix::row_major(weight, n, m);
        let rows_of = |rows: Range<usize>| {
            Matrix::row_major(&input[rows.start * n..rows.end * n], rows.len(), n)
        };
        let len = shape.iter().product();
        let output = match bias {
            Some(bias) => {
                read!(KERNEL; bias: T);
                by_rows(len, m, |rows, output| {
                    let output = output.copies_of(bias, rows.len());
                    multiply(output, m, true, rows_of(rows), weight);
                })
            }
            None => by_rows(len, m, |rows, output| write_product(output, rows_of(rows), weight)),
        };
        Ok(Tensor::from_vec(output, shape, device)?)
    })
}

/// The gradient of the input (..., n) for output gradient (..., m) and weight (m, n), which may be the view
/// of a transposed tensor.
///
/// # Errors
/// Returns an error if the shapes do not fit, or the type or device is not supported.
pub fn input_grad(grad: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let (m, n) = weight.dims2()?;
    let shape = replace_last(grad, m, n, "output gradient")?;
    on_cuda!(grad => linear::input_grad(grad, weight, &shape));
    let device = grad.device();
    let weight = laid_out(weight)?;
    by_dtype!(KERNEL, grad, T => {
        read!(KERNEL; grad: T, weight: T);
        let weight = Matrix::row_major(weight, m, n);
        let result = by_rows(shape.iter().product(), n, |rows, result| {
            let grad = Matrix::row_major(&grad[rows.start * m..rows.end * m], rows.len(), m);
            write_product(result, grad, weight);
        });
        Ok(Tensor::from_vec(result, shape, device)?)
    })
}

/// The gradient of the weight (m, n): `G^T X`, for output gradient (..., m) and input (..., n).
///
/// # Errors
/// Returns an error if the shapes do not fit, or the type or device is not supported.
pub fn weight_grad<'a>(input: impl Into<Values<'a>>, grad: &Tensor) -> Result<Tensor> {
    sum_of_products(grad.into(), input.into())
}

/// The gradient of a weight that is kept transposed (n, m): `X^T G`, for output gradient (..., m) and input (..., n).
///
/// # Errors
/// Returns an error if the shapes do not fit, or the type or device is not supported.
pub fn transposed_weight_grad(input: Values<'_>, grad: &Tensor) -> Result<Tensor> {
    sum_of_products(input, grad.into())
}

/// The bytes that [`weight_grad`] restores at a time of an input that is given as codes. With fewer, a step is slower:
/// products over few tokens are.
pub const RESTORED: usize = 4 << 20;

/// The sum over all tokens of the products (m, n) of what they have on the left (..., m) and on the right (..., n).
fn sum_of_products(left: Values<'_>, right: Values<'_>) -> Result<Tensor> {
    let ((tokens, m), (others, n)) = (as_matrix(left.dims())?, as_matrix(right.dims())?);
    if tokens != others {
        let (left, right) = (left.dims(), right.dims());
        return Err(Error::shape(KERNEL, format!("{left:?} and {right:?} differ in tokens")));
    }
    let device = left.device();
    on_cuda!(left => linear::weight_grad(&right.restored()?, &left.restored()?, (n, m)));
    by_dtype!(KERNEL, left, T => left.read(KERNEL, |left| right.read(KERNEL, |right| {
        let result = products::<T>((&left, m), (&right, n), tokens);
        Ok(Tensor::from_vec(result, (m, n), device)?)
    })))
}

/// [`sum_of_products`] of so many tokens, each operand given with the features of a token.
fn products<T: Element>(
    (left, m): (&Elements<'_, T>, usize),
    (right, n): (&Elements<'_, T>, usize),
    tokens: usize,
) -> Vec<T> {
    let at_a_time = |width: usize| RESTORED / (width * size_of::<T>()).max(1);
    let together = match (left, right) {
        (Elements::AsTheyAre(_), Elements::AsTheyAre(_)) => tokens,
        (Elements::Coded(_), _) => at_a_time(m),
        (_, Elements::Coded(_)) => at_a_time(n),
    };
    let (mut of_left, mut of_right, mut result) = (Vec::new(), Vec::new(), Vec::new());
    for start in (0..tokens.max(1)).step_by(together.max(1)) {
        let end = tokens.min(start + together.max(1));
        let left = left.read_many(start * m..end * m, &mut of_left);
        let right = right.read_many(start * n..end * n, &mut of_right);
        let right = Matrix::row_major(right, end - start, n);
        let features = |rows: Range<usize>| {
            let left = &left[rows.start.min(left.len())..];
            Matrix::strided(left, end - start, rows.len(), m).transposed()
        };
        if start == 0 {
            result = by_rows(m * n, n, |rows, result| write_product(result, features(rows), right));
        } else {
            over_rows(&mut result, n, |rows, result| {
                multiply(result, n, true, features(rows), right);
            });
        }
    }
    result
}

/// The gradient of the weight (m, `width`) for an input that is given as the means over `block`
/// neighbouring features ([`crate::block_pool::pool_features`]). Takes 1/block of the
/// multiplications.
///
/// # Errors
/// Returns an error if the shapes do not fit, or the type or device is not supported.
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
/// Returns an error if `grad` is a scalar, or the type or device is not supported.
pub fn bias_grad(grad: &Tensor) -> Result<Tensor> {
    let (_, m) = as_matrix(grad.dims())?;
    on_cuda!(grad => linear::bias_grad(grad, m));
    let device = grad.device();
    by_dtype!(KERNEL, grad, T => {
        read!(KERNEL; grad: T);
        let of_rows = |rows: &[T]| {
            let mut sums = vec![0.0; m];
            add_rows(rows, &mut sums);
            sums
        };
        let pieces: Vec<Vec<f64>> = grad.par_chunks((FIXED_ROWS * m).max(1)).map(of_rows).collect();
        let mut sums = vec![0.0; m];
        for piece in pieces {
            sums.iter_mut().zip(piece).for_each(|(sum, piece)| *sum += piece);
        }
        let sums: Vec<T> = sums.into_iter().map(T::narrow).collect();
        Ok(Tensor::from_vec(sums, m, device)?)
    })
}

/// The workspace of a weight (m, n) of so many elements on the CPU: a copy of it for the pass that needs its
/// rows in the other order, the output's or, where it is the view of a transposed tensor, the input gradient's.
pub fn workspace(weight: usize, transposed: bool, dtype: DType) -> Workspace {
    let copy = weight * dtype.size_in_bytes();
    match transposed {
        true => Workspace { input_grad: copy, ..Workspace::default() },
        false => Workspace { forward: copy, ..Workspace::default() },
    }
}

/// The matrix with its rows in order; it may be the view of a transposed one.
fn laid_out(matrix: &Tensor) -> Result<Tensor> {
    let transposed = matrix.t()?;
    if matrix.is_contiguous() || !transposed.is_contiguous() {
        return Ok(matrix.contiguous()?);
    }
    let ((rows, columns), shape) = (transposed.dims2()?, matrix.shape());
    by_dtype!(KERNEL, transposed, T => {
        read!(KERNEL; transposed: T);
        Ok(Tensor::from_vec(transpose(transposed, rows, columns), shape, matrix.device())?)
    })
}

on_widest_vectors! {
    /// Adds each row to the sums.
    fn add_rows<T: Element>(rows: &[T], sums: &mut [f64]) {
        for row in rows.chunks_exact(sums.len()) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += value.wide();
            }
        }
    }
}

/// The shape of `tensor` with `to` in place of its last axis, which must be `from` long.
fn replace_last(tensor: &Tensor, from: usize, to: usize, what: &str) -> Result<Vec<usize>> {
    match tensor.dims().split_last() {
        Some((&last, leading)) if last == from => Ok([leading, &[to]].concat()),
        _ => Err(Error::shape(
            KERNEL,
            format!("expected {what} (..., {from}), found {:?}", tensor.dims()),
        )),
    }
}

/// Tokens and features of a shape (..., features).
fn as_matrix(shape: &[usize]) -> Result<(usize, usize)> {
    match shape.split_last() {
        Some((&last, leading)) => Ok((leading.iter().product(), last)),
        None => Err(Error::shape(KERNEL, "a scalar has no features")),
    }
}

/// A vector of `len` elements. `f` writes it in chunks of whole rows, about equally many, given which rows they are.
fn by_rows<T: Element>(
    len: usize,
    width: usize,
    f: impl Fn(Range<usize>, &mut Blank<'_, T>) + Sync + Send,
) -> Vec<T> {
    write(len, share(len, width) * width, |elements, chunk| {
        f(elements.start / width..elements.end / width, chunk);
    })
}

/// Like [`by_rows`], for a vector that is there.
fn over_rows<T: Element>(
    vector: &mut [T],
    width: usize,
    f: impl Fn(Range<usize>, &mut [T]) + Sync + Send,
) {
    let share = share(vector.len(), width);
    let chunks = vector.par_chunks_mut((share * width).max(1)).enumerate();
    chunks.for_each(|(piece, chunk)| {
        let start = piece * share;
        f(start..start + chunk.len() / width, chunk);
    });
}

/// The rows of a task: about equally many for each thread, as often as it takes to have few enough.
///
/// The order of a row's sums is the same whichever rows are computed with it, unless it is alone or has few columns.
fn share(len: usize, width: usize) -> usize {
    let (rows, threads) = (len / width.max(1), rayon::current_num_threads());
    if width <= FEW_COLUMNS {
        return rows.div_ceil(rows.div_ceil(FIXED_ROWS).max(1)).max(1);
    }
    let tasks = (rows.div_ceil(threads * ROWS) * threads).min(rows / LEAST_ROWS).max(1);
    let mut share = rows.div_ceil(tasks).max(1);
    while rows % share == 1 {
        share += 1;
    }
    share
}
