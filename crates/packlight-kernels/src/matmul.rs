//! Matrix products on slices, through the `gemm` crate.

use std::mem::MaybeUninit;

use gemm::Parallelism;

use crate::conv2d::planes::side_by_side;
use crate::conv2d::simd::{CHANNELS, Lanes};
use crate::dtype::Element;
use crate::par_vec::{Blank, build};

/// A matrix within a slice.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a, T> {
    pub(crate) data: &'a [T],
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// Distance between neighbours in a column.
    pub(crate) row_stride: usize,
    /// Distance between neighbours in a row.
    pub(crate) column_stride: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// A row-major matrix.
    pub(crate) fn row_major(data: &'a [T], rows: usize, columns: usize) -> Self {
        Self { data, rows, columns, row_stride: columns, column_stride: 1 }
    }

    /// Rows of `columns` neighbouring elements that start `row_stride` apart.
    pub(crate) fn strided(data: &'a [T], rows: usize, columns: usize, row_stride: usize) -> Self {
        Self { data, rows, columns, row_stride, column_stride: 1 }
    }

    /// The transposed matrix, of the same elements.
    pub(crate) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    fn span(&self) -> usize {
        span(self.rows, self.columns, self.row_stride, self.column_stride)
    }
}

/// Elements from the first to the last of a matrix, both included.
fn span(rows: usize, columns: usize, row_stride: usize, column_stride: usize) -> usize {
    if rows == 0 || columns == 0 {
        0
    } else {
        (rows - 1) * row_stride + (columns - 1) * column_stride + 1
    }
}

/// `target = left * right`, or `target += left * right`, on this thread.
///
/// The rows of `target` start `row_stride` apart and hold `right.columns` neighbouring elements.
/// The order of the sums depends only on the shapes.
#[allow(unsafe_code)]
pub(crate) fn multiply<T: Element>(
    target: &mut [T],
    row_stride: usize,
    accumulate: bool,
    left: Matrix<'_, T>,
    right: Matrix<'_, T>,
) {
    // SAFETY: initialised elements are also elements that may lack a value, and none loses its own.
    let target = unsafe { &mut *(std::ptr::from_mut(target) as *mut [MaybeUninit<T>]) };
    // SAFETY: the elements of `target` are initialised.
    unsafe { product(target, row_stride, accumulate, left, right) }
}

/// Writes `left * right`, row by row, to a chunk as large, on this thread. The sums are those of [`multiply`].
#[allow(unsafe_code)]
pub(crate) fn write_product<T: Element>(
    target: &mut Blank<'_, T>,
    left: Matrix<'_, T>,
    right: Matrix<'_, T>,
) {
    // SAFETY: a product that is not added to the target initialises each of its rows, which have no gaps.
    unsafe {
        target.rest(|elements| {
            assert_eq!(elements.len(), left.rows * right.columns, "elements of a product");
            product(elements, right.columns, false, left, right);
        });
    }
}

/// [`multiply`], which initialises the target's rows.
///
/// # Safety
/// If it is added to, the target must be initialised.
#[allow(unsafe_code)]
unsafe fn product<T: Element>(
    target: &mut [MaybeUninit<T>],
    row_stride: usize,
    accumulate: bool,
    left: Matrix<'_, T>,
    right: Matrix<'_, T>,
) {
    let (m, k, n) = (left.rows, left.columns, right.columns);
    assert_eq!(k, right.rows, "inner dimensions of a matrix product");
    assert!(row_stride >= n && target.len() >= span(m, n, row_stride, 1), "target too small");
    assert!(
        left.data.len() >= left.span() && right.data.len() >= right.span(),
        "operand too small"
    );
    if m == 0 || n == 0 {
        return;
    }
    let beta = if accumulate { T::one() } else { T::zero() };
    // SAFETY: the asserts above keep every element that the strides reach within its slice, the
    // rows of the target do not overlap, and the target is borrowed exclusively. `T` is f32 or
    // f64, both of which `gemm` knows. Without `read_dst` the target is only written, also where there
    // is nothing to sum.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            target.as_mut_ptr().cast::<T>(),
            1,
            row_stride as isize,
            accumulate,
            left.data.as_ptr(),
            left.column_stride as isize,
            left.row_stride as isize,
            right.data.as_ptr(),
            right.column_stride as isize,
            right.row_stride as isize,
            beta,
            T::one(),
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// The transposed of a row-major matrix, in tiles, so that reading and writing both find lines in the cache.
pub(crate) fn transpose<T: Element>(matrix: &[T], rows: usize, columns: usize) -> Vec<T> {
    let lanes = Lanes::of_this_machine::<T>();
    build(rows * columns, CHANNELS * rows, |number, result| {
        let first = number * CHANNELS;
        let mut tile = [[T::zero(); CHANNELS]; CHANNELS];
        let tile = &mut tile[..result.len() / rows];
        for start in (0..rows).step_by(CHANNELS) {
            let height = CHANNELS.min(rows - start);
            side_by_side(lanes, &matrix[start * columns + first..], columns, height, tile);
            for (column, result) in tile.iter().zip(result.chunks_exact_mut(rows)) {
                result[start..start + height].copy_from_slice(&column[..height]);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::par_vec::write;

    #[test]
    fn a_transposed_matrix_has_columns_for_rows() {
        for (rows, columns) in [(1, 1), (3, 50), (50, 3), (16, 32), (37, 21)] {
            let matrix: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
            let found = transpose(&matrix, rows, columns);
            let cells = (0..columns).flat_map(|c| (0..rows).map(move |r| r * columns + c));
            assert_eq!(found, cells.map(|cell| matrix[cell]).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_a_product_writes_has_a_value_without_anything_to_sum() {
        for inner in [0, 3] {
            let ones = vec![1.0f32; 4 * inner];
            let (left, right) = (
                Matrix::row_major(&ones, 4, inner),
                Matrix::row_major(&ones[2 * inner..], inner, 2),
            );
            let found = write(8, 8, |_, blank| write_product(blank, left, right));
            assert_eq!(found, [inner as f32; 8]);
        }
    }

    #[test]
    #[should_panic(expected = "elements of a product")]
    fn a_product_fills_its_chunk() {
        let matrix = Matrix::row_major(&[1.0; 4], 2, 2);
        write(5, 5, |_, blank| write_product(blank, matrix, matrix));
    }

    #[test]
    fn products_with_every_orientation() {
        let a: Vec<f64> = (0..6).map(f64::from).collect();
        let b: Vec<f64> = (0..6).map(|i| f64::from(i) - 2.0).collect();
        let mut target = vec![1.0; 8];
        multiply(&mut target, 4, false, Matrix::row_major(&a, 2, 3), Matrix::row_major(&b, 3, 2));
        assert_eq!(target, [4.0, 7.0, 1.0, 1.0, 4.0, 16.0, 1.0, 1.0]);
        let (a, b) = (Matrix::row_major(&a, 3, 2), Matrix::row_major(&b, 2, 3));
        multiply(&mut target, 4, true, a.transposed(), b.transposed());
        assert_eq!(target, [2.0, 23.0, 1.0, 1.0, -1.0, 38.0, 1.0, 1.0]);
    }
}
