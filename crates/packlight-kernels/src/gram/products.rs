//! Gram matrices of any unfolding, by matrix products; columns that are not adjacent are copied
//! first.

use std::ops::Range;

use rayon::prelude::*;

use super::{COLUMNS, PIECES};
use crate::dtype::Element;
use crate::matmul::{Matrix, multiply};
use crate::unfolding::Unfolding;

/// Rows of the result per parallel task.
const ROWS: usize = 64;

/// The elements on and above the diagonal.
pub(super) fn above_diagonal<T: Element>(unfolding: &Unfolding<'_, T>) -> Vec<f64> {
    let size = unfolding.rows;
    let blocks = unfolding.blocks(COLUMNS);
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
        if blocks.get(i + 1).is_none_or(|next| summed + next.len() > COLUMNS) {
            sums.iter_mut().zip(&run).for_each(|(sum, value)| *sum += value.wide());
            summed = 0;
        }
    }
    sums
}
