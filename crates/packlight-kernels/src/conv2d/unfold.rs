//! Unfolding an image into one column per output pixel, and folding such columns back.

use std::ops::Range;

use super::problem::Problem;
use crate::element::Element;

/// Writes the columns of output rows `rows` for the channels in `image` (consecutive planes of
/// H x W): row `(channel, i, j)` of the target holds what tap (i, j) meets there.
///
/// Rows of the target start `row_stride` apart; `target` begins at the first column to be written.
pub(super) fn unfold<T: Element>(
    problem: &Problem,
    image: &[T],
    rows: Range<usize>,
    target: &mut [T],
    row_stride: usize,
) {
    let (kh, kw) = problem.kernel;
    let taps = kh * kw;
    for (channel, plane) in image.chunks_exact(problem.pixels()).enumerate() {
        for tap in 0..taps {
            let start = (channel * taps + tap) * row_stride;
            let columns = &mut target[start..start + rows.len() * problem.out_width];
            for (row, columns) in rows.clone().zip(columns.chunks_exact_mut(problem.out_width)) {
                match input_row(problem, row, tap / kw) {
                    Some(y) => {
                        let line = &plane[y * problem.width..(y + 1) * problem.width];
                        unfold_line(problem, line, tap % kw, columns);
                    }
                    None => columns.fill(T::zero()),
                }
            }
        }
    }
}

/// Adds columns as [`unfold`] lays them out to the pixels that they came from.
pub(super) fn fold<T: Element>(
    problem: &Problem,
    columns: &[T],
    row_stride: usize,
    image: &mut [T],
) {
    let (kh, kw) = problem.kernel;
    let taps = kh * kw;
    for (channel, plane) in image.chunks_exact_mut(problem.pixels()).enumerate() {
        for tap in 0..taps {
            let start = (channel * taps + tap) * row_stride;
            let columns = &columns[start..start + problem.out_pixels()];
            for (row, columns) in columns.chunks_exact(problem.out_width).enumerate() {
                if let Some(y) = input_row(problem, row, tap / kw) {
                    let line = &mut plane[y * problem.width..(y + 1) * problem.width];
                    let (inside, first) = inside(problem, tap % kw);
                    let step = problem.geometry.stride.1;
                    for (column, pixel) in
                        columns[inside].iter().zip(line[first..].iter_mut().step_by(step))
                    {
                        *pixel += *column;
                    }
                }
            }
        }
    }
}

/// The input row that tap row `i` meets at output row `row`, unless it lies in the padding.
fn input_row(problem: &Problem, row: usize, i: usize) -> Option<usize> {
    let g = &problem.geometry;
    (row * g.stride.0 + i * g.dilation.0).checked_sub(g.padding.0).filter(|&y| y < problem.height)
}

/// The output columns at which tap column `j` meets the input, and the first input column it meets.
fn inside(problem: &Problem, j: usize) -> (Range<usize>, usize) {
    let g = &problem.geometry;
    let (offset, padding, stride) = (j * g.dilation.1, g.padding.1, g.stride.1);
    let start = padding.saturating_sub(offset).div_ceil(stride).min(problem.out_width);
    let end = (problem.width + padding).saturating_sub(offset).div_ceil(stride);
    let end = end.clamp(start, problem.out_width);
    (start..end, (start * stride + offset).saturating_sub(padding).min(problem.width))
}

fn unfold_line<T: Element>(problem: &Problem, line: &[T], j: usize, columns: &mut [T]) {
    let (inside, first) = inside(problem, j);
    columns[..inside.start].fill(T::zero());
    columns[inside.end..].fill(T::zero());
    let columns = &mut columns[inside];
    match problem.geometry.stride.1 {
        1 => columns.copy_from_slice(&line[first..first + columns.len()]),
        stride => {
            for (column, pixel) in columns.iter_mut().zip(line[first..].iter().step_by(stride)) {
                *column = *pixel;
            }
        }
    }
}
