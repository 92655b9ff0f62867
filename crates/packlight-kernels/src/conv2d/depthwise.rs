//! Depthwise convolution: each channel has taps of its own.
//!
//! Nothing is summed over channels, so the loops run along pixels. A plane is laid out row after row
//! with its padding, and by phases where the stride is more than 1. Then each tap reads at the same
//! distance from all targets, and a pass is a few loops over a whole plane; what they compute beyond
//! the end of a row is dropped:
//!
//! ```text
//! Y[t]  = sum_k w_k A[t + at_k]
//! dA[u] = sum_k w_k G[u - at_k]      for each phase, over the taps that read it
//! dw_k  = sum_t G[t] A[t + at_k]     with G = 0 beyond the end of a row
//! ```

use super::problem::Problem;
use crate::dtype::Element;
use crate::par_vec::{at_a_time, build_with};
use crate::simd_dispatch::on_widest_vectors;

/// Targets summed at a time, so that their sums stay in registers.
const RUN: usize = 32;
/// Parts of the sum of a tap over all planes, so that they are added side by side.
const PARTS: usize = 8;
/// Elements of the planes that a task reads or writes.
const PIECE: usize = 32 * 1024;

/// A depthwise convolution, and how its planes are laid out.
pub(super) struct Depthwise<'a> {
    problem: &'a Problem,
    /// Rows and columns of a phase.
    rows: usize,
    columns: usize,
    taps: Vec<Tap>,
}

/// The phase that a tap reads, and the place in it that it reads for the first target.
struct Tap {
    phase: usize,
    at: usize,
}

/// The input of a convolution.
#[derive(Clone, Copy)]
pub(super) enum Input<'a, T> {
    Dense(&'a [T]),
    /// The means over blocks of so many pixels each way.
    Pooled(&'a [T], usize),
}

impl<'a> Depthwise<'a> {
    /// Describes a convolution, if each of its groups has one input and one output.
    pub(super) fn of(problem: &'a Problem) -> Option<Self> {
        if problem.depth() != 1 || problem.group_outputs() != 1 {
            return None;
        }
        let g = &problem.geometry;
        let rows = (problem.height + 2 * g.padding.0).div_ceil(g.stride.0);
        let columns = (problem.width + 2 * g.padding.1).div_ceil(g.stride.1);
        let taps = (0..problem.taps()).map(|tap| {
            let row = tap / problem.kernel.1 * g.dilation.0;
            let column = tap % problem.kernel.1 * g.dilation.1;
            let phase = row % g.stride.0 * g.stride.1 + column % g.stride.1;
            Tap { phase, at: row / g.stride.0 * columns + column / g.stride.1 }
        });
        Some(Self { problem, rows, columns, taps: taps.collect() })
    }

    /// The output.
    pub(super) fn forward<T: Element>(
        &self,
        input: &[T],
        weight: &[T],
        bias: Option<&[T]>,
    ) -> Vec<T> {
        let (from, to) = (self.problem.pixels(), self.problem.out_pixels());
        let (size, width) = (self.phase(), self.problem.out_width);
        let (strips, offsets) = (self.strips(size), self.offsets());
        let reads: Vec<Read> =
            offsets.iter().enumerate().map(|(tap, &at)| Read { at, tap }).collect();
        let buffers = || self.forward_buffers().map(|len| vec![T::zero(); len]);
        self.planes(to, buffers, |[padded, sums], plane, target| {
            let channel = plane % self.problem.out_channels;
            self.place(&input[plane * from..][..from], &strips, padded);
            correlate(padded, &reads, self.taps_of(channel, weight), sums);
            let shift = bias.map_or(T::zero(), |bias| bias[channel]);
            for (target, sums) in target.chunks_exact_mut(width).zip(sums.chunks(self.columns)) {
                target.iter_mut().zip(sums).for_each(|(target, sum)| *target = *sum + shift);
            }
        })
    }

    /// The gradient of the input.
    pub(super) fn input_grad<T: Element>(&self, grad: &[T], weight: &[T]) -> Vec<T> {
        let (from, to) = (self.problem.out_pixels(), self.problem.pixels());
        let size = self.phase_of_runs();
        let strips = self.strips(size);
        // Before the plane are zeros, for the taps that reach beyond it.
        let before = self.before();
        let phases = 0..self.phases();
        let reads: Vec<Vec<Read>> = phases
            .map(|phase| {
                let taps = self.taps.iter().enumerate().filter(|(_, tap)| tap.phase == phase);
                taps.map(|(number, tap)| Read { at: before - tap.at, tap: number }).collect()
            })
            .collect();
        let buffers = || self.input_grad_buffers().map(|len| vec![T::zero(); len]);
        self.planes(to, buffers, |[laid, sums], plane, target| {
            let channel = plane % self.problem.out_channels;
            self.lay(&grad[plane * from..][..from], &mut laid[before..]);
            for (sums, reads) in sums.chunks_exact_mut(size).zip(&reads) {
                correlate(laid, reads, self.taps_of(channel, weight), sums);
            }
            for strip in &strips {
                let sums = &sums[strip.at..][..strip.count];
                let pixels =
                    target[strip.pixel..].iter_mut().step_by(self.problem.geometry.stride.1);
                pixels.zip(sums).for_each(|(pixel, sum)| *pixel = *sum);
            }
        })
    }

    /// The gradient of the weight.
    pub(super) fn weight_grad<T: Element>(&self, input: Input<'_, T>, grad: &[T]) -> Vec<T> {
        let (from, to) = (self.problem.pixels(), self.problem.out_pixels());
        let (strips, offsets) = (self.strips(self.phase()), self.offsets());
        let buffers = || self.weight_grad_buffers().map(|len| vec![T::zero(); len]);
        let taps = self.taps.len();
        let channels = self.problem.out_channels;
        build_with(channels * taps, taps, buffers, |[padded, laid, whole], channel, result| {
            let mut sums = vec![[0.0; PARTS]; taps];
            for sample in 0..self.problem.batch {
                let plane = sample * channels + channel;
                match input {
                    Input::Dense(input) => {
                        self.place(&input[plane * from..][..from], &strips, padded);
                    }
                    Input::Pooled(means, block) => {
                        repeat(means, plane, block, self.problem.width, whole);
                        self.place(whole, &strips, padded);
                    }
                }
                self.lay(&grad[plane * to..][..to], laid);
                products(padded, laid, &offsets, &mut sums);
            }
            for (weight, parts) in result.iter_mut().zip(sums) {
                *weight = T::narrow(parts.iter().sum());
            }
        })
    }

    /// The elements that [`Depthwise::forward`] allocates beside the output.
    pub(super) fn forward_workspace(&self) -> usize {
        self.planes_at_a_time() * self.forward_buffers().iter().sum::<usize>()
    }

    /// The elements that [`Depthwise::input_grad`] allocates beside the gradient.
    pub(super) fn input_grad_workspace(&self) -> usize {
        self.planes_at_a_time() * self.input_grad_buffers().iter().sum::<usize>()
    }

    /// The elements that [`Depthwise::weight_grad`] allocates beside the gradient.
    pub(super) fn weight_grad_workspace(&self) -> usize {
        let buffers = self.weight_grad_buffers().iter().sum::<usize>();
        at_a_time(self.problem.out_channels) * buffers
    }

    fn forward_buffers(&self) -> [usize; 2] {
        [self.padded(), self.targets()]
    }

    fn input_grad_buffers(&self) -> [usize; 2] {
        let size = self.phase_of_runs();
        [self.before() + size, self.phases() * size]
    }

    fn weight_grad_buffers(&self) -> [usize; 3] {
        [self.padded(), self.targets(), self.problem.pixels()]
    }

    /// Tasks that compute planes at the same time.
    fn planes_at_a_time(&self) -> usize {
        let planes = self.problem.batch * self.problem.out_channels;
        at_a_time(planes.div_ceil(self.together()))
    }

    /// Planes that a task takes.
    fn together(&self) -> usize {
        (PIECE / self.problem.pixels().max(self.problem.out_pixels())).max(1)
    }

    /// Computes planes of `to` pixels, each with its number.
    fn planes<T: Element, B: Send>(
        &self,
        to: usize,
        buffers: impl Fn() -> B + Sync + Send,
        compute: impl Fn(&mut B, usize, &mut [T]) + Sync + Send,
    ) -> Vec<T> {
        let together = self.together();
        let planes = self.problem.batch * self.problem.out_channels;
        build_with(planes * to, together * to, buffers, |buffers, number, piece| {
            for (plane, target) in piece.chunks_exact_mut(to).enumerate() {
                compute(buffers, number * together + plane, target);
            }
        })
    }

    fn taps_of<'w, T>(&self, channel: usize, weight: &'w [T]) -> &'w [T] {
        &weight[channel * self.taps.len()..][..self.taps.len()]
    }

    fn phases(&self) -> usize {
        self.problem.geometry.stride.0 * self.problem.geometry.stride.1
    }

    /// Elements of a phase.
    fn phase(&self) -> usize {
        self.rows * self.columns
    }

    /// What each tap reads for the first target, if the phases follow one another.
    fn offsets(&self) -> Vec<usize> {
        self.taps.iter().map(|tap| tap.phase * self.phase() + tap.at).collect()
    }

    /// Targets from the first to the last, with those beyond the ends of rows, in whole runs.
    fn targets(&self) -> usize {
        let last = (self.problem.out_height - 1) * self.columns + self.problem.out_width;
        last.next_multiple_of(RUN)
    }

    /// Elements of the phases of a plane, beyond which the last run may read on.
    fn padded(&self) -> usize {
        self.phases() * self.phase() + RUN
    }

    /// Elements of a phase, in whole runs.
    fn phase_of_runs(&self) -> usize {
        self.phase().next_multiple_of(RUN)
    }

    /// The farthest that a tap reads.
    fn before(&self) -> usize {
        self.taps.iter().map(|tap| tap.at).max().unwrap_or(0)
    }

    /// The pixels of each row that lie in one phase, with phases of `size` elements.
    fn strips(&self, size: usize) -> Vec<Strip> {
        let g = &self.problem.geometry;
        let width = self.problem.width;
        let strip = |row: usize, first: usize| {
            let (down, right) = (row + g.padding.0, first + g.padding.1);
            let phase = down % g.stride.0 * g.stride.1 + right % g.stride.1;
            let at = down / g.stride.0 * self.columns + right / g.stride.1;
            let count = (width - first).div_ceil(g.stride.1);
            Strip { pixel: row * width + first, count, at: phase * size + at }
        };
        let firsts = || 0..g.stride.1.min(width);
        (0..self.problem.height)
            .flat_map(|row| firsts().map(move |first| strip(row, first)))
            .collect()
    }

    /// Places a plane of the input among its padding.
    fn place<T: Element>(&self, plane: &[T], strips: &[Strip], padded: &mut [T]) {
        for strip in strips {
            let pixels = plane[strip.pixel..].iter().step_by(self.problem.geometry.stride.1);
            let cells = &mut padded[strip.at..][..strip.count];
            cells.iter_mut().zip(pixels).for_each(|(cell, pixel)| *cell = *pixel);
        }
    }

    /// Lays a plane of the output as the targets are counted; what lies beyond rows stays 0.
    fn lay<T: Element>(&self, plane: &[T], laid: &mut [T]) {
        let rows = plane.chunks_exact(self.problem.out_width);
        for (row, cells) in rows.zip(laid.chunks_mut(self.columns)) {
            cells[..row.len()].copy_from_slice(row);
        }
    }
}

/// Pixels of a row, each a stride from the one before it, and where they lie side by side.
struct Strip {
    pixel: usize,
    count: usize,
    at: usize,
}

/// A tap, and what it reads for the first target.
struct Read {
    at: usize,
    tap: usize,
}

/// The plane of this number, from the means over its blocks.
fn repeat<T: Element>(means: &[T], number: usize, block: usize, width: usize, plane: &mut [T]) {
    let columns = width.div_ceil(block);
    let rows = (plane.len() / width).div_ceil(block);
    let means = means[number * rows * columns..].chunks_exact(columns);
    for (rows, means) in plane.chunks_mut(block * width).zip(means) {
        for row in rows.chunks_exact_mut(width) {
            row.chunks_mut(block).zip(means).for_each(|(pixels, mean)| pixels.fill(*mean));
        }
    }
}

on_widest_vectors! {
    /// For each target the sum over taps of weight times what the tap reads.
    fn correlate<T: Element>(source: &[T], reads: &[Read], weights: &[T], targets: &mut [T]) {
        for (number, targets) in targets.as_chunks_mut::<RUN>().0.iter_mut().enumerate() {
            let mut sums = [T::zero(); RUN];
            for read in reads {
                let weight = weights[read.tap];
                let source = &source[read.at + number * RUN..][..RUN];
                for lane in 0..RUN {
                    sums[lane] += weight * source[lane];
                }
            }
            *targets = sums;
        }
    }
}

on_widest_vectors! {
    /// Adds to the sum of each tap the products of gradients and what the tap reads.
    fn products<T: Element>(source: &[T], grads: &[T], offsets: &[usize], sums: &mut [[f64; PARTS]]) {
        for (&offset, parts) in offsets.iter().zip(sums) {
            let mut lanes = [T::zero(); RUN];
            for (number, grads) in grads.as_chunks::<RUN>().0.iter().enumerate() {
                let source = &source[offset + number * RUN..][..RUN];
                for lane in 0..RUN {
                    lanes[lane] += grads[lane] * source[lane];
                }
            }
            for lanes in lanes.as_chunks::<PARTS>().0 {
                parts.iter_mut().zip(lanes).for_each(|(part, lane)| *part += lane.wide());
            }
        }
    }
}
