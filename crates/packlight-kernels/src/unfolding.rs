//! Unfoldings: a tensor as a matrix with one of its axes as rows.

use std::ops::Range;

use crate::matmul::Matrix;
use crate::{Error, Result};

/// The least number of adjacent columns for a matrix product of their own; shorter runs are first
/// copied together.
const LONG: usize = 128;

/// The unfolding of a row-major tensor along one axis: (rows, outer * inner), where rows is the
/// length of that axis, and outer and inner are those of the axes before and after it.
pub(crate) struct Unfolding<'a, T> {
    pub(crate) elements: &'a [T],
    pub(crate) outer: usize,
    pub(crate) rows: usize,
    pub(crate) inner: usize,
}

/// The lengths (outer, rows, inner) of the unfolding of a tensor with `dims` along `axis`.
pub(crate) fn lengths(
    kernel: &'static str,
    dims: &[usize],
    axis: usize,
) -> Result<(usize, usize, usize)> {
    if axis >= dims.len() {
        return Err(Error::shape(kernel, format!("{dims:?} has no axis {axis}")));
    }
    Ok((dims[..axis].iter().product(), dims[axis], dims[axis + 1..].iter().product()))
}

impl<'a, T: Copy> Unfolding<'a, T> {
    pub(crate) fn new(elements: &'a [T], (outer, rows, inner): (usize, usize, usize)) -> Self {
        Self { elements, outer, rows, inner }
    }

    /// The position of a column's element in the first row.
    pub(crate) fn start(&self, column: usize) -> usize {
        column / self.inner * self.rows * self.inner + column % self.inner
    }

    /// The number of outer entries that make up a block of `width` columns; `None` if a single one
    /// has enough adjacent columns for a block of its own.
    pub(crate) fn together(&self, width: usize) -> Option<usize> {
        (self.inner < LONG).then(|| (width / self.inner.max(1)).max(1))
    }

    /// Ranges of about `width` columns, chosen so that a block is a view where possible.
    pub(crate) fn blocks(&self, width: usize) -> Vec<Range<usize>> {
        let columns = self.outer * self.inner;
        if let Some(together) = self.together(width) {
            let step = together * self.inner.max(1);
            return (0..columns).step_by(step).map(|i| i..(i + step).min(columns)).collect();
        }
        let step = self.inner.div_ceil(self.inner.div_ceil(width));
        let within = |start: usize| {
            let end = start + self.inner;
            (start..end).step_by(step).map(move |i| i..(i + step).min(end))
        };
        (0..columns).step_by(self.inner).flat_map(within).collect()
    }

    /// Rows from `first` on of a block of columns: a view, or a copy in `buffer`.
    pub(crate) fn block<'b>(
        &self,
        first: usize,
        columns: Range<usize>,
        buffer: &'b mut Vec<T>,
    ) -> Matrix<'b, T>
    where
        'a: 'b,
    {
        let (rows, inner, width) = (self.rows - first, self.inner, columns.len());
        if width == 0 || rows == 0 {
            return Matrix::row_major(&[], rows, width);
        }
        let entry = |outer: usize| &self.elements[(outer * self.rows + first) * inner..];
        if inner == 1 {
            return Matrix::strided(entry(columns.start), width, rows, self.rows).transposed();
        }
        let outer = columns.start / inner..columns.end.div_ceil(inner);
        if outer.len() == 1 {
            let start = columns.start - outer.start * inner;
            return Matrix::strided(&entry(outer.start)[start..], rows, width, inner);
        }
        buffer.clear();
        for row in 0..rows {
            for outer in outer.clone() {
                buffer.extend_from_slice(&entry(outer)[row * inner..(row + 1) * inner]);
            }
        }
        Matrix::row_major(buffer, rows, width)
    }
}
