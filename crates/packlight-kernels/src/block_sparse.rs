//! Matrices that keep only their strongest blocks, in the block-sparse row format (BSR).
//!
//! The kept blocks of a row of blocks are stored one after the other, each dense and with the index
//! of its column of blocks; row pointers give the start of each row of blocks. Blocks that extend
//! beyond the edge are padded with zeros.

use std::ops::Range;

use candle_core::Tensor;
use num_traits::Zero;
use rayon::prelude::*;

use crate::cuda::on_cuda;
use crate::dtype::Element;
use crate::matmul::{Matrix, multiply};
use crate::sum::sum_of;
use crate::tensor_io::{by_dtype, read};
use crate::top_k::Cut;
use crate::{Error, Result};

const KERNEL: &str = "block_sparse";

/// Blocks per matrix product.
const TOGETHER: usize = 32;

/// The strongest blocks of a matrix.
#[derive(Debug, Clone)]
pub struct BlockSparse {
    /// The kept blocks (kept, block, block), row by row.
    pub blocks: Tensor,
    /// The column of blocks of each (kept), u32.
    pub columns: Tensor,
    /// The start of each row of blocks, and the end of the last one, u32.
    pub pointers: Tensor,
    /// Rows and columns of the matrix.
    pub size: (usize, usize),
}

impl BlockSparse {
    /// Keeps `count` of the blocks of `block` x `block` elements of a tensor seen as a matrix of
    /// `rows` rows: those with the largest sums of magnitudes, and of equals the first.
    ///
    /// # Errors
    /// Returns an error if the rows do not divide the tensor, there are fewer blocks or more than
    /// u32 counts, or the type or device is not supported.
    pub fn pack(input: &Tensor, rows: usize, block: usize, count: usize) -> Result<Self> {
        let elements = input.elem_count();
        let width = elements.checked_div(rows).unwrap_or(0);
        let (high, wide) = match block {
            0 => (0, 0),
            _ => (rows.div_ceil(block), width.div_ceil(block)),
        };
        if rows * width != elements || count > high * wide || u32::try_from(high * wide).is_err() {
            return Err(Error::shape(
                KERNEL,
                format!(
                    "{:?} in {rows} rows has no {count} blocks of {block} x {block}",
                    input.dims()
                ),
            ));
        }
        let size = (rows, width);
        let scores = scores(input, size, block, (high, wide))?;
        let cut = Cut::new(&scores, count);
        let kept: Vec<usize> = (0..scores.len()).filter(|&at| cut.keeps(at, scores[at])).collect();
        let begins = |row: usize| kept.partition_point(|&at| at < row * wide) as u32;
        let pointers: Vec<u32> = (0..=high).map(begins).collect();
        let columns: Vec<u32> = kept.iter().map(|at| (at % wide) as u32).collect();
        let device = input.device();
        Ok(Self {
            blocks: blocks(input, size, block, &kept)?,
            columns: Tensor::from_vec(columns, count, device)?,
            pointers: Tensor::from_vec(pointers, high + 1, device)?,
            size,
        })
    }

    /// The matrix with zeros for the blocks that were not kept, as a tensor of this shape.
    ///
    /// # Errors
    /// Returns an error if the shape has another number of elements, or the type or device is not
    /// supported.
    pub fn unpack(&self, shape: &[usize]) -> Result<Tensor> {
        on_cuda!(self.blocks => block_sparse::unpack(self, shape));
        let (blocks, device) = (&self.blocks, self.blocks.device());
        let (_, block, _) = blocks.dims3()?;
        let (rows, width) = self.size;
        let placed = self.placed()?;
        by_dtype!(KERNEL, blocks, T => {
            read!(KERNEL; blocks: T);
            let mut output = vec![T::zero(); rows * width];
            if !output.is_empty() {
                output.par_chunks_mut(block * width).enumerate().for_each(|(row, output)| {
                    let first = placed.partition_point(|placed| placed.0 < row);
                    let own = placed[first..].iter().take_while(|placed| placed.0 == row);
                    for (&(_, column), block_values) in
                        own.zip(blocks[first * block * block..].chunks_exact(block * block))
                    {
                        let columns = column * block..((column + 1) * block).min(width);
                        for (line, values) in
                            output.chunks_exact_mut(width).zip(block_values.chunks_exact(block))
                        {
                            line[columns.clone()].copy_from_slice(&values[..columns.len()]);
                        }
                    }
                });
            }
            Ok(Tensor::from_vec(output, shape, device)?)
        })
    }

    /// The gradient (m, columns) of the weight of a linear layer with this input, whose rows are
    /// tokens, for output gradient (..., m). The multiplications are proportional to the kept
    /// blocks.
    ///
    /// # Errors
    /// Returns an error if the shapes do not fit, or the type or device is not supported.
    pub fn linear_weight_grad(&self, grad: &Tensor) -> Result<Tensor> {
        let blocks = &self.blocks;
        let (_, block, _) = blocks.dims3()?;
        let (rows, width) = self.size;
        let outputs = grad.dims().last().copied().unwrap_or(0);
        if rows * outputs != grad.elem_count() {
            let grad = grad.dims();
            return Err(Error::shape(
                KERNEL,
                format!("output gradient {grad:?} for {rows} tokens"),
            ));
        }
        on_cuda!(blocks => block_sparse::linear_weight_grad(self, grad));
        let mut by_column = vec![Vec::new(); width.div_ceil(block)];
        for (number, (row, column)) in self.placed()?.into_iter().enumerate() {
            by_column[column].push((row, number));
        }
        let device = grad.device();
        by_dtype!(KERNEL, blocks, T => {
            read!(KERNEL; blocks: T, grad: T);
            // Transposed: (columns, m), of which each column of blocks fills its own lines.
            let mut result = vec![T::zero(); width * outputs];
            if !result.is_empty() {
                result.par_chunks_mut(block * outputs).zip(&by_column).for_each(|(result, own)| {
                    let (mut left, mut right) = (Vec::new(), Vec::new());
                    for own in own.chunks(TOGETHER) {
                        left.clear();
                        right.clear();
                        for &(row, number) in own {
                            let tokens = row * block..((row + 1) * block).min(rows);
                            let values = &blocks[number * block * block..][..tokens.len() * block];
                            left.extend_from_slice(values);
                            right.extend_from_slice(
                                &grad[tokens.start * outputs..tokens.end * outputs],
                            );
                        }
                        let tokens = left.len() / block;
                        let features = result.len() / outputs;
                        let left = Matrix::strided(&left, tokens, features, block).transposed();
                        let right = Matrix::row_major(&right, tokens, outputs);
                        multiply(result, outputs, true, left, right);
                    }
                });
            }
            Ok(Tensor::from_vec(result, (width, outputs), device)?.t()?.contiguous()?)
        })
    }

    /// Row and column of blocks of each kept block.
    pub(crate) fn placed(&self) -> Result<Vec<(usize, usize)>> {
        let pointers = self.pointers.to_vec1::<u32>()?;
        let columns = self.columns.to_vec1::<u32>()?;
        let rows = pointers.windows(2).enumerate();
        let rows = rows.flat_map(|(row, ends)| (ends[0]..ends[1]).map(move |_| row));
        Ok(rows.zip(columns.into_iter().map(|column| column as usize)).collect())
    }
}

/// The sums of the magnitudes of a matrix's blocks, of which there are (down, across).
fn scores(
    input: &Tensor,
    size: (usize, usize),
    block: usize,
    (down, across): (usize, usize),
) -> Result<Vec<f64>> {
    on_cuda!(input => block_sparse::scores(input, size, block, (down, across)));
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T);
        let matrix = Matrix::row_major(input, size.0, size.1);
        let score = |at: usize| score(matrix, block, at / across, at % across);
        Ok((0..down * across).into_par_iter().map(score).collect())
    })
}

/// The blocks (kept, block, block) of a matrix that have these numbers.
fn blocks(input: &Tensor, size: (usize, usize), block: usize, kept: &[usize]) -> Result<Tensor> {
    on_cuda!(input => block_sparse::blocks(input, size, block, kept));
    let (device, across) = (input.device(), size.1.div_ceil(block.max(1)).max(1));
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T);
        let matrix = Matrix::row_major(input, size.0, size.1);
        let mut blocks = vec![T::zero(); kept.len() * block * block];
        blocks.par_chunks_mut((block * block).max(1)).zip(kept).for_each(|(target, at)| {
            let (rows, columns) = part(matrix, block, at / across, at % across);
            for (row, target) in rows.zip(target.chunks_exact_mut(block)) {
                target[..columns.len()].copy_from_slice(&input[row * size.1..][columns.clone()]);
            }
        });
        Ok(Tensor::from_vec(blocks, (kept.len(), block, block), device)?)
    })
}

/// The rows and columns of the matrix that a block holds.
fn part<T>(
    matrix: Matrix<'_, T>,
    block: usize,
    row: usize,
    column: usize,
) -> (Range<usize>, Range<usize>) {
    let within = |number: usize, size: usize| number * block..((number + 1) * block).min(size);
    (within(row, matrix.rows), within(column, matrix.columns))
}

/// The sum of a block's magnitudes.
fn score<T: Element>(matrix: Matrix<'_, T>, block: usize, row: usize, column: usize) -> f64 {
    let (rows, columns) = part(matrix, block, row, column);
    let lines = rows.map(|row| &matrix.data[row * matrix.columns..][columns.clone()]);
    lines.map(|line| sum_of([line], |[x]| x.wide().abs())).sum()
}
