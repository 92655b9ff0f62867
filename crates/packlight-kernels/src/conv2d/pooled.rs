//! The gradient of the weight, computed directly from a pooled input.
//!
//! With `Â` constant on each block, tap (i, j) reads block (u, v) at the output pixels whose input
//! pixel lies in it, so
//!
//! ```text
//! dW[o,c,i,j] = sum_{b,u,v} P[b,c,u,v] S_ij[b,o,u,v],   S_ij = sum of G over those pixels
//! ```
//!
//! Taps that read each block at the same pixels have the same gradient, which is computed once. Where the
//! stride moves by whole blocks, the means are an input like any other ([`MeansAsInput`]).

use std::ops::Range;

use super::depthwise::{Depthwise, Input};
use super::means_as_input::MeansAsInput;
use super::planes::side_by_side;
use super::problem::Problem;
use super::simd::{CHANNELS, Lanes, RUN, WEIGHTS, accumulate, sum_lines, sum_within};
use super::weight_grad::weight_grad_of;
use crate::dtype::Element;

/// Below this number of blocks, several samples are combined.
const SHORT: usize = 256;
/// Pixels interleaved at a time, so that they stay in the cache.
const NEAR: usize = 64;

/// The gradient of the weight from the means `pooled` over blocks of `block` x `block` pixels.
pub(super) fn weight_grad<T: Element>(
    problem: &Problem,
    pooled: &[T],
    block: usize,
    grad: &[T],
) -> Vec<T> {
    if let Some(depthwise) = Depthwise::of(problem) {
        return depthwise.weight_grad(Input::Pooled(pooled, block), grad);
    }
    if let Some(means) = MeansAsInput::new(problem, block) {
        return means.weight_grad(problem, pooled, grad);
    }
    let blocks = Blocks::new(problem, block);
    let (together, sample_in) = (blocks.samples(problem), problem.in_channels * blocks.count());
    weight_grad_of(problem, together, (pooled, sample_in), grad, |pooled, grad, first, result| {
        blocks.piece_grad(problem, pooled, grad, first, result);
    })
}

/// The output pixels at which tap rows (or columns) read each row (or column) of blocks.
struct Blocks {
    rows: Reads,
    columns: Reads,
}

/// The reads of one axis.
struct Reads {
    /// For each block, the pixels at which it is read; taps that read at the same pixels share an entry.
    different: Vec<Vec<Range<usize>>>,
    /// The entry of each tap.
    of_taps: Vec<usize>,
}

impl Reads {
    fn new(reads: impl Iterator<Item = Vec<Range<usize>>>) -> Self {
        let mut different: Vec<Vec<Range<usize>>> = Vec::new();
        let mut of_taps = Vec::new();
        for reads in reads {
            if different.last() != Some(&reads) {
                different.push(reads);
            }
            of_taps.push(different.len() - 1);
        }
        Self { different, of_taps }
    }
}

impl Blocks {
    fn new(problem: &Problem, block: usize) -> Self {
        let axis = |taps: usize, size, out, (stride, padding, dilation): (usize, usize, usize)| {
            Reads::new((0..taps).map(|tap| {
                // The first output pixel whose input pixel is not before `position`.
                let reach = |position: usize| {
                    (position + padding).saturating_sub(tap * dilation).div_ceil(stride).min(out)
                };
                (0usize..size)
                    .step_by(block)
                    .map(|start| reach(start)..reach((start + block).min(size)))
                    .collect()
            }))
        };
        let (rows, columns) = problem.axes();
        Self {
            rows: axis(problem.kernel.0, problem.height, problem.out_height, rows),
            columns: axis(problem.kernel.1, problem.width, problem.out_width, columns),
        }
    }

    /// Blocks of a plane.
    fn count(&self) -> usize {
        self.rows.different[0].len() * self.columns.different[0].len()
    }

    /// Samples combined, so that sums are long enough to be fast; depends only on the shapes.
    fn samples(&self, problem: &Problem) -> usize {
        (SHORT / self.count()).clamp(1, problem.batch)
    }

    /// The weight gradient of the output channels from `first` on, all of one group, as many as
    /// `result` holds.
    fn piece_grad<T: Element>(
        &self,
        problem: &Problem,
        pooled: &[T],
        grad: &[T],
        first: usize,
        result: &mut [T],
    ) {
        let lanes = Lanes::of_this_machine::<T>();
        let (depth, taps, pixels) = (problem.depth(), problem.taps(), problem.out_pixels());
        let (rows, columns) = (&self.rows.different, &self.columns.different);
        let different = rows.len() * columns.len();
        let (count, together) = (self.count(), self.samples(problem));
        let sample_out = problem.out_channels * pixels;
        let sample_in = problem.in_channels * count;
        let group = first / problem.group_outputs();
        let outputs = result.len() / (depth * taps);
        // Rounded up to whole runs and blocks: extra cells hold zeros, extra channels repeat the first.
        let span = (together * count).next_multiple_of(RUN);
        let mut offsets: Vec<usize> = (0..depth).map(|channel| channel * span).collect();
        offsets.resize(depth.next_multiple_of(WEIGHTS), 0);
        let runs: Vec<usize> = (0..span).step_by(RUN).collect();

        let zero = [T::zero(); CHANNELS];
        // For each block of output channels, different tap and input channel: those of the outputs.
        let mut totals = vec![zero; outputs.div_ceil(CHANNELS) * different * offsets.len()];
        let mut means = vec![T::zero(); depth * span];
        let mut grads = vec![zero; pixels];
        let mut lines = vec![zero; rows[0].len() * problem.out_width];
        let mut sums = vec![zero; different * span];
        for (grad, pooled) in
            grad.chunks(together * sample_out).zip(pooled.chunks(together * sample_in))
        {
            for (sample, pooled) in pooled.chunks_exact(sample_in).enumerate() {
                let planes = pooled[group * depth * count..].chunks_exact(count);
                for (plane, means) in planes.zip(means.chunks_exact_mut(span)) {
                    means[sample * count..][..count].copy_from_slice(plane);
                }
            }
            for (block, totals) in totals.chunks_exact_mut(different * offsets.len()).enumerate() {
                let start = first + block * CHANNELS;
                let end = (start + CHANNELS).min(first + outputs);
                for (sample, grad) in grad.chunks_exact(sample_out).enumerate() {
                    for (near, grads) in grads.chunks_mut(NEAR).enumerate() {
                        let planes = &grad[start * pixels + near * NEAR..];
                        side_by_side(lanes, planes, pixels, end - start, grads);
                    }
                    let size = problem.out_width;
                    for (i, rows) in rows.iter().enumerate() {
                        sum_lines(lanes, &grads, size, rows, &mut lines);
                        for (j, blocks) in columns.iter().enumerate() {
                            let tap = i * columns.len() + j;
                            let sums = &mut sums[tap * span + sample * count..][..count];
                            let sums = sums.chunks_exact_mut(blocks.len());
                            for (line, sums) in lines.chunks_exact(size).zip(sums) {
                                sum_within(lanes, line, blocks, sums);
                            }
                        }
                    }
                }
                let filled = grad.len() / sample_out * count;
                let taps = sums.chunks_exact_mut(span).zip(totals.chunks_exact_mut(offsets.len()));
                for (sums, totals) in taps {
                    sums[filled..].fill(zero);
                    let sums = sums.as_chunks::<RUN>().0;
                    accumulate(lanes, sums, &means, &offsets, &runs, totals);
                }
            }
        }
        let of_taps: Vec<usize> = (self.rows.of_taps.iter())
            .flat_map(|row| self.columns.of_taps.iter().map(move |j| row * columns.len() + j))
            .collect();
        for (output, weights) in result.chunks_exact_mut(depth * taps).enumerate() {
            let totals = &totals[output / CHANNELS * different * offsets.len()..];
            for (channel, weights) in weights.chunks_exact_mut(taps).enumerate() {
                for (&tap, weight) in of_taps.iter().zip(weights) {
                    *weight = totals[tap * offsets.len() + channel][output % CHANNELS];
                }
            }
        }
    }
}
