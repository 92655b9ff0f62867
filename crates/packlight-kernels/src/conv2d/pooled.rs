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
use super::simd::{CHANNELS, Lanes, RUN, WEIGHTS, accumulate};
use crate::element::Element;

pub(super) fn weight_grad<T: Element>(
    problem: &Problem,
    pooled: &[T],
    block: usize,
    grad: &[T],
) -> Vec<T> {
    let (depth, taps) = (problem.depth(), problem.taps());
    let outputs = problem.group_outputs();
    let cells = Cells::new(problem, block);
    let mut result = vec![T::zero(); problem.out_channels * depth * taps];
    // A piece sums over all samples by itself, so the result does not depend on who computes it.
    result.par_chunks_mut(outputs * depth * taps).enumerate().for_each(|(group, result)| {
        result.par_chunks_mut(CHANNELS * depth * taps).enumerate().for_each(|(piece, result)| {
            let first = group * outputs + piece * CHANNELS;
            let count = result.len() / (depth * taps);
            let sums = cells.sums(problem, pooled, grad, group, first..first + count);
            for (output, weights) in result.chunks_exact_mut(depth * taps).enumerate() {
                for (channel, weights) in weights.chunks_exact_mut(taps).enumerate() {
                    for (weight, sums) in weights.iter_mut().zip(&sums) {
                        *weight = sums[channel][output];
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
                        let room = (position + padding).saturating_sub(tap * dilation);
                        room.div_ceil(stride).min(out)
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

    /// The weight gradient of the output channels `outputs`: for each tap and input channel, those
    /// of the outputs side by side.
    fn sums<T: Element>(
        &self,
        problem: &Problem,
        pooled: &[T],
        grad: &[T],
        group: usize,
        outputs: Range<usize>,
    ) -> Vec<Vec<[T; CHANNELS]>> {
        let lanes = Lanes::of_this_machine::<T>();
        let (depth, pixels) = (problem.depth(), problem.out_pixels());
        let (height, width) = (self.rows[0].len(), self.columns[0].len());
        let cells = height * width;
        let sample_out = problem.out_channels * pixels;
        let sample_in = problem.in_channels * cells;
        let together = problem.samples_together(cells);
        // Rounded up to whole runs and blocks: cells too many hold zeros, channels repeat the first.
        let span = (together * cells).next_multiple_of(RUN);
        let mut offsets: Vec<usize> = (0..depth).map(|channel| channel * span).collect();
        offsets.resize(depth.next_multiple_of(WEIGHTS), 0);

        let runs: Vec<usize> = (0..span).step_by(RUN).collect();

        let zero = [T::zero(); CHANNELS];
        let mut result = vec![vec![zero; offsets.len()]; problem.taps()];
        let mut means = vec![T::zero(); depth * span];
        let mut grads = vec![zero; together * pixels];
        let mut lines = vec![zero; together * height * problem.out_width];
        let mut sums = vec![zero; span];
        for (grad, pooled) in
            grad.chunks(together * sample_out).zip(pooled.chunks(together * sample_in))
        {
            let samples = grad.len() / sample_out;
            for (sample, pooled) in pooled.chunks_exact(sample_in).enumerate() {
                let planes = pooled[group * depth * cells..].chunks_exact(cells);
                for (plane, means) in planes.zip(means.chunks_exact_mut(span)) {
                    means[sample * cells..][..cells].copy_from_slice(plane);
                }
            }
            for (grad, grads) in grad.chunks_exact(sample_out).zip(grads.chunks_exact_mut(pixels)) {
                let planes =
                    grad[outputs.start * pixels..outputs.end * pixels].chunks_exact(pixels);
                for (channel, plane) in planes.enumerate() {
                    for (grads, pixel) in grads.iter_mut().zip(plane) {
                        grads[channel] = *pixel;
                    }
                }
            }
            for (i, rows) in self.rows.iter().enumerate() {
                let samples = grads.chunks_exact(pixels).take(samples);
                let bands = samples.flat_map(|grads| rows.iter().map(move |rows| (grads, rows)));
                for ((grads, rows), line) in bands.zip(lines.chunks_exact_mut(problem.out_width)) {
                    line.fill(zero);
                    let rows = &grads[rows.start * problem.out_width..rows.end * problem.out_width];
                    for row in rows.chunks_exact(problem.out_width) {
                        line.iter_mut().zip(row).for_each(|(sum, grads)| add(sum, grads));
                    }
                }
                for (j, columns) in self.columns.iter().enumerate() {
                    let lines = lines.chunks_exact(problem.out_width);
                    for (line, sums) in lines.zip(sums.chunks_exact_mut(width)) {
                        for (columns, sum) in columns.iter().zip(sums) {
                            *sum = zero;
                            line[columns.clone()].iter().for_each(|grads| add(sum, grads));
                        }
                    }
                    sums[grad.len() / sample_out * cells..].fill(zero);
                    let tap = i * self.columns.len() + j;
                    let sums = sums.as_chunks::<RUN>().0;
                    accumulate(lanes, sums, &means, &offsets, &runs, &mut result[tap]);
                }
            }
        }
        result
    }
}

fn add<T: Element>(sum: &mut [T; CHANNELS], summand: &[T; CHANNELS]) {
    for (sum, summand) in sum.iter_mut().zip(summand) {
        *sum += *summand;
    }
}
