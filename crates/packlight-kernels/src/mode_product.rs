//! The product of a tensor with a matrix along one axis.

use candle_core::Tensor;
use num_traits::Zero;
use rayon::prelude::*;

use crate::cuda::on_cuda;
use crate::dtype::Element;
use crate::matmul::{Matrix, multiply};
use crate::par_vec::{build, build_with};
use crate::tensor_io::{by_dtype, read};
use crate::unfolding::{Unfolding, lengths};
use crate::{Error, Result};

const KERNEL: &str = "mode_product";

/// Columns of the unfolding per parallel task.
const COLUMNS: usize = 1024;
/// The least number of tasks, if the outer axes have as many entries.
const PIECES: usize = 16;

/// `tensor` with its `axis`, of length d, contracted with `matrix` (r,d): the axis becomes r long,
/// and its element i is the sum over j of `matrix[i,j]` times element j (Kolda and Bader, SIAM
/// Review 51, 2009, section 2.5).
///
/// For a factor `u` (d,k), `u.t()` projects onto its columns and `u` maps back.
///
/// # Errors
/// Returns an error if there is no such axis, the shapes or types do not fit, or the type or device
/// is not supported.
pub fn mode_product(tensor: &Tensor, matrix: &Tensor, axis: usize) -> Result<Tensor> {
    let lengths = lengths(KERNEL, tensor.dims(), axis)?;
    let (rows, columns) = matrix.dims2()?;
    if columns != lengths.1 {
        return Err(Error::shape(
            KERNEL,
            format!(
                "expected a matrix (..., {}) for axis {axis}, found {:?}",
                lengths.1,
                matrix.dims()
            ),
        ));
    }
    let mut shape = tensor.dims().to_vec();
    shape[axis] = rows;
    on_cuda!(tensor => mode_product::mode_product(tensor, matrix, lengths, &shape));
    let device = tensor.device();
    by_dtype!(KERNEL, tensor, T => {
        read!(KERNEL; tensor: T, matrix: T);
        let len = shape.iter().product();
        let result = if len == 0 || columns == 0 {
            vec![T::zero(); len]
        } else {
            let matrix = Matrix::row_major(matrix, rows, columns);
            product(&Unfolding::new(tensor, lengths), matrix)
        };
        Ok(Tensor::from_vec(result, shape, device)?)
    })
}

fn product<T: Element>(unfolding: &Unfolding<'_, T>, matrix: Matrix<'_, T>) -> Vec<T> {
    let (rows, inner) = (matrix.rows, unfolding.inner);
    let len = unfolding.outer * rows * inner;
    let Some(together) = unfolding.together(COLUMNS) else {
        if unfolding.outer < PIECES {
            return by_columns(unfolding, matrix);
        }
        return build(len, rows * inner, |entry, result| {
            let columns = entry * inner..(entry + 1) * inner;
            multiply(result, inner, false, matrix, unfolding.block(0, columns, &mut Vec::new()));
        });
    };
    let together = together.min(unfolding.outer.div_ceil(PIECES));
    let buffers = || (Vec::new(), vec![T::zero(); together * rows * inner]);
    build_with(len, together * rows * inner, buffers, |(buffer, product), piece, result| {
        let (first, entries) = (piece * together, result.len() / (rows * inner));
        let block = unfolding.block(0, first * inner..(first + entries) * inner, buffer);
        if inner == 1 {
            return multiply(result, rows, false, block.transposed(), matrix.transposed());
        }
        multiply(product, entries * inner, false, matrix, block);
        for (entry, result) in result.chunks_exact_mut(rows * inner).enumerate() {
            let product = product[entry * inner..].chunks(entries * inner);
            for (run, product) in result.chunks_exact_mut(inner).zip(product) {
                run.copy_from_slice(&product[..inner]);
            }
        }
    })
}

/// For long axes after `axis` and short ones before it: one block of columns after another,
/// although their rows are not adjacent.
fn by_columns<T: Element>(unfolding: &Unfolding<'_, T>, matrix: Matrix<'_, T>) -> Vec<T> {
    let (rows, inner) = (matrix.rows, unfolding.inner);
    let blocks = unfolding.blocks(COLUMNS);
    let per_entry = blocks.len() / unfolding.outer;
    let mut result = build(unfolding.outer * rows * inner, COLUMNS, |_, _| ());
    let mut targets: Vec<Vec<&mut [T]>> = blocks.iter().map(|_| Vec::with_capacity(rows)).collect();
    for (row, result) in result.chunks_exact_mut(inner).enumerate() {
        let first = row / rows * per_entry;
        let mut rest = result;
        for (target, block) in targets[first..].iter_mut().zip(&blocks[first..first + per_entry]) {
            let (run, after) = rest.split_at_mut(block.len());
            target.push(run);
            rest = after;
        }
    }
    blocks.into_par_iter().zip(targets).for_each(|(columns, target)| {
        let width = columns.len();
        let mut product = vec![T::zero(); rows * width];
        let mut buffer = Vec::new();
        let block = unfolding.block(0, columns, &mut buffer);
        multiply(&mut product, width, false, matrix, block);
        for (run, product) in target.into_iter().zip(product.chunks_exact(width)) {
            run.copy_from_slice(product);
        }
    });
    result
}
