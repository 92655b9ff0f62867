//! Gram matrices of the unfoldings of a tensor.

use std::ops::Range;

use candle_core::Tensor;
use rayon::prelude::*;

use crate::element::Element;
use crate::elements::{by_dtype, read};
use crate::matmul::{Matrix, multiply};
use crate::unfolding::{Unfolding, lengths};
use crate::{Error, Result};

const KERNEL: &str = "gram";

/// Columns whose products are summed in the tensor's own type; such sums are added up in f64.
const RUN: usize = 1024;
/// Rows of the result that one piece of work takes.
const ROWS: usize = 64;
/// Pieces of work below which the columns are divided, too.
const PIECES: usize = 16;

/// The Gram matrix `X X^T` (d,d), in f64, of the unfolding `X` of `tensor` along `axis`, of length
/// d: element (i,j) is the inner product of the slices i and j.
///
/// Products are summed in the tensor's type over at most 1024 columns, such sums in f64, so that
/// rounding does not grow with the size of the tensor: in f32 an element is off by about 1e-6 of the
/// product of the two slices' norms, and eigenvalues below that share of their sum are rounding.
/// Elements of an f32 tensor below 1e-19 count as 0, since their squares vanish.
///
/// # Errors
/// If there is no such axis, if an element is not finite or too large to be squared, or type or
/// device have no kernel.
pub fn gram(tensor: &Tensor, axis: usize) -> Result<Tensor> {
    let lengths = lengths(KERNEL, tensor.dims(), axis)?;
    let device = tensor.device();
    by_dtype!(KERNEL, tensor, T => {
        read!(KERNEL; tensor: T);
        let result = of_unfolding(&Unfolding::new(tensor, lengths));
        // An element that is not finite, or has no finite square, shows in its slice's own.
        if !result.iter().step_by(lengths.1 + 1).all(|square| square.is_finite()) {
            return Err(Error::NotFinite { kernel: KERNEL, what: "an element, or its square," });
        }
        Ok(Tensor::from_vec(result, (lengths.1, lengths.1), device)?)
    })
}

/// Sums the part on and above the diagonal, and mirrors it.
fn of_unfolding<T: Element>(unfolding: &Unfolding<'_, T>) -> Vec<f64> {
    let size = unfolding.rows;
    let blocks = unfolding.blocks(RUN);
    let bands = size.div_ceil(ROWS);
    let slab = blocks.len().div_ceil(PIECES.div_ceil(bands.max(1))).max(1);
    let pieces: Vec<(usize, &[Range<usize>])> = (0..size)
        .step_by(ROWS)
        .flat_map(|row| blocks.chunks(slab).map(move |blocks| (row, blocks)))
        .collect();
    let sums: Vec<Vec<f64>> =
        pieces.par_iter().map(|(row, blocks)| piece(unfolding, *row, blocks)).collect();
    let mut result = vec![0.0; size * size];
    for ((row, _), sums) in pieces.iter().zip(&sums) {
        for (i, sums) in sums.chunks_exact(size - row).enumerate() {
            let start = (row + i) * size + row;
            for (element, sum) in result[start..].iter_mut().zip(sums) {
                *element += sum;
            }
        }
    }
    for i in 0..size {
        for j in 0..i {
            result[i * size + j] = result[j * size + i];
        }
    }
    result
}

/// Sums of the products of up to `ROWS` rows from `first` on with all rows from `first` on.
fn piece<T: Element>(
    unfolding: &Unfolding<'_, T>,
    first: usize,
    blocks: &[Range<usize>],
) -> Vec<f64> {
    let others = unfolding.rows - first;
    let rows = others.min(ROWS);
    let mut sums = vec![0.0; rows * others];
    let mut run = vec![T::zero(); rows * others];
    let mut summed = 0;
    let mut buffer = Vec::new();
    for (i, columns) in blocks.iter().enumerate() {
        let right = unfolding.block(first, columns.clone(), &mut buffer);
        let left = Matrix { rows, ..right };
        multiply(&mut run, others, summed > 0, left, right.transposed());
        summed += columns.len();
        if blocks.get(i + 1).is_none_or(|next| summed + next.len() > RUN) {
            sums.iter_mut().zip(&run).for_each(|(sum, value)| *sum += value.wide());
            summed = 0;
        }
    }
    sums
}
