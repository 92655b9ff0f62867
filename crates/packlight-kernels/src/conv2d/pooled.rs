//! The gradient of the weight, computed directly from a pooled input.
//!
//! With `Â` constant on each block, tap (i, j) reads block (u, v) at the output pixels whose input
//! pixel lies in it, so
//!
//! ```text
//! dW[o,c,i,j] = sum_{b,u,v} P[b,c,u,v] S_ij[b,o,u,v],   S_ij = sum of G over those pixels
//! ```

use std::ops::Range;

use super::depthwise::{Depthwise, Input};
use super::planes::side_by_side;
use super::problem::Problem;
use super::simd::{CHANNELS, Lanes, RUN, WEIGHTS, accumulate, sum_ranges};
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
    let blocks = Blocks::new(problem, block);
    let (together, sample_in) = (blocks.samples(problem), problem.in_channels * blocks.count());
    weight_grad_of(problem, together, (pooled, sample_in), grad, |pooled, grad, first, result| {
        blocks.piece_grad(problem, pooled, grad, first, result);
    })
}

/// The output pixels at which each tap row (or column) reads each row (or column) of blocks.
struct Blocks {
    rows: Vec<Vec<Range<usize>>>,
    columns: Vec<Vec<Range<usize>>>,
}

impl Blocks {
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

    /// Blocks of a plane.
    fn count(&self) -> usize {
        self.rows[0].len() * self.columns[0].len()
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
        // For each block of output channels, tap and input channel: those of the outputs.
        let mut totals = vec![zero; outputs.div_ceil(CHANNELS) * taps * offsets.len()];
        let mut means = vec![T::zero(); depth * span];
        let mut grads = vec![zero; pixels];
        let mut lines = vec![zero; self.rows[0].len() * problem.out_width];
        let mut sums = vec![zero; taps * span];
        for (grad, pooled) in
            grad.chunks(together * sample_out).zip(pooled.chunks(together * sample_in))
        {
            for (sample, pooled) in pooled.chunks_exact(sample_in).enumerate() {
                let planes = pooled[group * depth * count..].chunks_exact(count);
                for (plane, means) in planes.zip(means.chunks_exact_mut(span)) {
                    means[sample * count..][..count].copy_from_slice(plane);
                }
            }
            for (block, totals) in totals.chunks_exact_mut(taps * offsets.len()).enumerate() {
                let start = first + block * CHANNELS;
                let end = (start + CHANNELS).min(first + outputs);
                for (sample, grad) in grad.chunks_exact(sample_out).enumerate() {
                    for (near, grads) in grads.chunks_mut(NEAR).enumerate() {
                        let planes = &grad[start * pixels + near * NEAR..];
                        side_by_side(planes, pixels, end - start, grads);
                    }
                    let size = problem.out_width;
                    for (i, rows) in self.rows.iter().enumerate() {
                        sum_ranges(lanes, &grads, size, rows, &mut lines);
                        for (j, columns) in self.columns.iter().enumerate() {
                            let tap = i * self.columns.len() + j;
                            let sums = &mut sums[tap * span + sample * count..][..count];
                            let sums = sums.chunks_exact_mut(columns.len());
                            for (line, sums) in lines.chunks_exact(size).zip(sums) {
                                sum_ranges(lanes, line, 1, columns, sums);
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
        for (output, weights) in result.chunks_exact_mut(depth * taps).enumerate() {
            let totals = &totals[output / CHANNELS * taps * offsets.len()..];
            for (channel, weights) in weights.chunks_exact_mut(taps).enumerate() {
                for (tap, weight) in weights.iter_mut().enumerate() {
                    *weight = totals[tap * offsets.len() + channel][output % CHANNELS];
                }
            }
        }
    }
}
