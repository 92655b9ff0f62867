//! Gram matrices of unfoldings with many rows and runs of at least four adjacent columns, as along
//! the samples, channels and lines of images. They are computed like the weight gradient of a
//! convolution with one tap, by the same inner loops, which read the tensor without a copy.

use std::ops::Range;

use rayon::prelude::*;

use super::{COLUMNS, PIECES};
use crate::conv2d::planes::runs_side_by_side;
use crate::conv2d::simd::{BLOCKS, CHANNELS, Lanes, RUN, WEIGHTS, accumulate};
use crate::dtype::Element;
use crate::unfolding::Unfolding;

/// Rows interleaved at a time.
pub(super) const ROWS: usize = BLOCKS * CHANNELS;
/// Runs per batch, so that they stay in the cache.
const RUNS: usize = 64;

/// Products of some rows with all rows from the first of them on.
struct Products<T> {
    rows: Range<usize>,
    /// How far after the first each row from there on lies.
    offsets: Vec<usize>,
    /// For each block of the rows and each offset, the sums of the block over some columns,
    of_columns: Vec<[T; CHANNELS]>,
    /// and over all columns of the piece.
    sums: Vec<[f64; CHANNELS]>,
}

/// The elements on and above the diagonal.
pub(super) fn above_diagonal<T: Element>(unfolding: &Unfolding<'_, T>) -> Vec<f64> {
    let (size, columns) = (unfolding.rows, unfolding.outer * unfolding.inner);
    let mut result = vec![0.0; size * size];
    if result.is_empty() || columns == 0 {
        return result;
    }
    let slab = columns.div_ceil(PIECES).next_multiple_of(COLUMNS);
    let bands = PIECES.div_ceil(columns.div_ceil(slab));
    let band = size.div_ceil(bands).next_multiple_of(ROWS);
    let pieces: Vec<(usize, usize)> = (0..size)
        .step_by(band)
        .flat_map(|row| (0..columns).step_by(slab).map(move |column| (row, column)))
        .collect();
    let pieces: Vec<Vec<Products<T>>> = pieces
        .into_par_iter()
        .map(|(row, column)| {
            let columns = column..(column + slab).min(columns);
            piece(unfolding, row..(row + band).min(size), columns)
        })
        .collect();
    for Products { rows, offsets, sums, .. } in pieces.into_iter().flatten() {
        for (block, sums) in sums.chunks_exact(offsets.len()).enumerate() {
            for (column, sums) in (rows.start..size).zip(sums) {
                for (row, sum) in (rows.start + block * CHANNELS..rows.end).zip(sums) {
                    result[row * size + column] += sum;
                }
            }
        }
    }
    result
}

/// The products of the rows `band` over some columns.
fn piece<T: Element>(
    unfolding: &Unfolding<'_, T>,
    band: Range<usize>,
    columns: Range<usize>,
) -> Vec<Products<T>> {
    let mut all: Vec<Products<T>> = band
        .clone()
        .step_by(ROWS)
        .map(|first| Products::new(unfolding, first..(first + ROWS).min(band.end)))
        .collect();
    let mut vectors = vec![[[T::zero(); CHANNELS]; RUN]; BLOCKS * RUNS];
    for start in columns.clone().step_by(COLUMNS) {
        let end = (start + COLUMNS).min(columns.end);
        let runs: Vec<usize> = (start..end).step_by(RUN).map(|c| unfolding.start(c)).collect();
        for runs in runs.chunks(RUNS) {
            all.iter_mut().for_each(|products| products.add(unfolding, runs, &mut vectors));
        }
        all.iter_mut().for_each(Products::sum_up);
    }
    all
}

impl<T: Element> Products<T> {
    fn new(unfolding: &Unfolding<'_, T>, rows: Range<usize>) -> Self {
        let others = unfolding.rows - rows.start;
        let mut offsets: Vec<usize> = (0..others).map(|row| row * unfolding.inner).collect();
        // Padded by repeating the first.
        offsets.resize(others.next_multiple_of(WEIGHTS), 0);
        let sums = rows.len().div_ceil(CHANNELS) * offsets.len();
        let of_columns = vec![[T::zero(); CHANNELS]; sums];
        Self { rows, offsets, of_columns, sums: vec![[0.0; CHANNELS]; sums] }
    }

    /// Adds the products over the columns of `runs`, each of which starts there in the first row of
    /// all.
    fn add(
        &mut self,
        unfolding: &Unfolding<'_, T>,
        runs: &[usize],
        vectors: &mut [[[T; CHANNELS]; RUN]],
    ) {
        let lanes = Lanes::of_this_machine::<T>();
        let (count, inner) = (self.rows.len(), unfolding.inner);
        let elements = &unfolding.elements[self.rows.start * inner..];
        let blocks = count.div_ceil(CHANNELS);
        let vectors = &mut vectors[..blocks * runs.len()];
        let targets: Vec<_> = runs.iter().map(|run| (*run, RUN)).collect();
        for block in 0..blocks {
            let row = block * CHANNELS;
            let (elements, rows) = (&elements[row * inner..], (inner, CHANNELS.min(count - row)));
            runs_side_by_side(lanes, elements, rows, &targets, &mut vectors[block..], blocks);
        }
        accumulate(lanes, vectors, elements, &self.offsets, runs, &mut self.of_columns);
    }

    /// Adds the sums in the tensor's type to those in f64.
    fn sum_up(&mut self) {
        for (sums, of_columns) in self.sums.iter_mut().zip(&mut self.of_columns) {
            for (sum, of_columns) in sums.iter_mut().zip(of_columns) {
                *sum += std::mem::replace(of_columns, T::zero()).wide();
            }
        }
    }
}
