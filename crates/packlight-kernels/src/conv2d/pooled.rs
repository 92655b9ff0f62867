//! The gradient of the weight straight from a pooled input.
//!
//! With `Â` constant on each block, tap (i, j) meets block (u, v) at those output pixels whose
//! input pixel lies in it, so
//!
//! ```text
//! dW[o,c,i,j] = sum_{b,u,v} P[b,c,u,v] S_ij[b,o,u,v],   S_ij = sum of G over those pixels
//! ```

use std::ops::Range;

use rayon::prelude::*;

use super::problem::Problem;
use crate::element::Element;
use crate::matmul::{Matrix, multiply};

/// Output channels that one piece of work takes.
const OUTPUTS: usize = 16;

pub(super) fn weight_grad<T: Element>(
    problem: &Problem,
    pooled: &[T],
    block: usize,
    grad: &[T],
) -> Vec<T> {
    let (depth, taps) = (problem.depth(), problem.taps());
    let outputs = problem.group_outputs();
    let mut result = vec![T::zero(); problem.out_channels * depth * taps];
    if result.is_empty() {
        return result;
    }
    let cells = Cells::new(problem, block);
    result.par_chunks_mut(outputs * depth * taps).enumerate().for_each(|(group, result)| {
        result.par_chunks_mut(OUTPUTS * depth * taps).enumerate().for_each(|(piece, result)| {
            let first = group * outputs + piece * OUTPUTS;
            let count = result.len() / (depth * taps);
            let sums = cells.piece(problem, pooled, grad, group, first..first + count);
            for (output, weights) in result.chunks_exact_mut(depth * taps).enumerate() {
                for (channel, weights) in weights.chunks_exact_mut(taps).enumerate() {
                    for (tap, weight) in weights.iter_mut().enumerate() {
                        *weight = sums[(tap * count + output) * depth + channel];
                    }
                }
            }
        });
    });
    result
}

/// Which output pixels each tap row (or column) needs for each block row (or column).
struct Cells {
    rows: Vec<Vec<Range<usize>>>,
    columns: Vec<Vec<Range<usize>>>,
}

impl Cells {
    fn new(problem: &Problem, block: usize) -> Self {
        let g = &problem.geometry;
        let axis = |taps: usize, size, out, stride: usize, padding: usize, dilation: usize| {
            (0..taps)
                .map(|tap| {
                    // The first output pixel whose input pixel is not before `position`.
                    let reach = |position: usize| {
                        (position + padding)
                            .saturating_sub(tap * dilation)
                            .div_ceil(stride)
                            .min(out)
                    };
                    (0usize..size)
                        .step_by(block)
                        .map(|start| reach(start)..reach((start + block).min(size)))
                        .collect()
                })
                .collect()
        };
        let (kh, kw) = problem.kernel;
        Self {
            rows: axis(
                kh,
                problem.height,
                problem.out_height,
                g.stride.0,
                g.padding.0,
                g.dilation.0,
            ),
            columns: axis(
                kw,
                problem.width,
                problem.out_width,
                g.stride.1,
                g.padding.1,
                g.dilation.1,
            ),
        }
    }

    /// The weight gradient of the output channels `outputs`, laid out (tap, output, channel).
    fn piece<T: Element>(
        &self,
        problem: &Problem,
        pooled: &[T],
        grad: &[T],
        group: usize,
        outputs: Range<usize>,
    ) -> Vec<T> {
        let (depth, taps, pixels) = (problem.depth(), problem.taps(), problem.out_pixels());
        let (height, width) = (self.rows[0].len(), self.columns[0].len());
        let cells = height * width;
        let sample_out = problem.out_channels * pixels;
        let sample_in = problem.in_channels * cells;
        let together = problem.samples_together(cells);
        let mut result = vec![T::zero(); taps * outputs.len() * depth];
        let (mut sums, mut side_by_side, mut lines) = (Vec::new(), Vec::new(), Vec::new());
        for (grad, pooled) in
            grad.chunks(together * sample_out).zip(pooled.chunks(together * sample_in))
        {
            let samples = grad.len() / sample_out;
            sums.resize(taps * outputs.len() * samples * cells, T::zero());
            for (sample, grad) in grad.chunks_exact(sample_out).enumerate() {
                let planes =
                    grad[outputs.start * pixels..outputs.end * pixels].chunks_exact(pixels);
                for (output, plane) in planes.enumerate() {
                    let target =
                        |tap: usize| ((tap * outputs.len() + output) * samples + sample) * cells;
                    self.sum_plane(problem, plane, &mut sums, target, &mut lines);
                }
            }
            side_by_side.clear();
            for channel in group * depth..(group + 1) * depth {
                for pooled in pooled.chunks_exact(sample_in) {
                    side_by_side.extend_from_slice(&pooled[channel * cells..(channel + 1) * cells]);
                }
            }
            multiply(
                &mut result,
                depth,
                true,
                Matrix::row_major(&sums, taps * outputs.len(), samples * cells),
                Matrix::row_major(&side_by_side, depth, samples * cells).transposed(),
            );
        }
        result
    }

    /// Sums one plane of the output gradient over the pixels of each block, for every tap; those
    /// of a tap go to `sums` from `target(tap)` on.
    fn sum_plane<T: Element>(
        &self,
        problem: &Problem,
        plane: &[T],
        sums: &mut [T],
        target: impl Fn(usize) -> usize,
        line: &mut Vec<T>,
    ) {
        let width = self.columns[0].len();
        line.resize(problem.out_width, T::zero());
        for (i, rows) in self.rows.iter().enumerate() {
            for (u, rows) in rows.iter().enumerate() {
                let first = plane.get(rows.start * problem.out_width..).unwrap_or_default();
                let mut summands = first.chunks_exact(problem.out_width).take(rows.len());
                match summands.next() {
                    Some(row) => line.copy_from_slice(row),
                    None => line.fill(T::zero()),
                }
                for row in summands {
                    for (sum, value) in line.iter_mut().zip(row) {
                        *sum += *value;
                    }
                }
                for (j, columns) in self.columns.iter().enumerate() {
                    let start = target(i * self.columns.len() + j) + u * width;
                    sum_ranges(line, columns, &mut sums[start..start + width]);
                }
            }
        }
    }
}

/// Sums `line` over each range, quickly where all but the outer ones are equally long neighbours.
fn sum_ranges<T: Element>(line: &[T], ranges: &[Range<usize>], sums: &mut [T]) {
    let slow = |ranges: &[Range<usize>], sums: &mut [T]| {
        for (range, sum) in ranges.iter().zip(sums) {
            *sum = line[range.clone()].iter().copied().fold(T::zero(), |a, b| a + b);
        }
    };
    let last = ranges.len() - 1;
    if last < 2 {
        return slow(ranges, sums);
    }
    let (length, target) = (ranges[1].len(), &mut sums[1..last]);
    if ranges[1..last].iter().any(|range| range.len() != length) {
        return slow(ranges, sums);
    }
    let inner = &line[ranges[1].start..ranges[last - 1].end];
    match length {
        1 => target.copy_from_slice(inner),
        2 => sum_chunks::<T, 2>(inner, target),
        4 => sum_chunks::<T, 4>(inner, target),
        _ => return slow(ranges, sums),
    }
    slow(&ranges[..1], &mut sums[..1]);
    slow(&ranges[last..], &mut sums[last..]);
}

fn sum_chunks<T: Element, const N: usize>(line: &[T], sums: &mut [T]) {
    for (chunk, sum) in line.as_chunks::<N>().0.iter().zip(sums) {
        *sum = chunk.iter().copied().fold(T::zero(), |a, b| a + b);
    }
}
