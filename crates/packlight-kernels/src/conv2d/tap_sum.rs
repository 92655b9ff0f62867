//! Convolution and the gradient of its input, as a sum over taps and channels.

use std::ops::Range;

use super::depthwise::Depthwise;
use super::grid::{Grid, Part};
use super::planes::{Planes, taps_side_by_side};
use super::problem::{Problem, Side};
use super::simd::{BLOCKS, CHANNELS, Lanes, RUN, correlate};
use super::small_planes::SmallPlanes;
use super::winograd::Winograd;
use crate::dtype::Element;
use crate::par_vec::{at_a_time, build, build_with};

/// Runs of targets summed at a time, so that their sums stay in the first-level cache.
pub(super) const BAND: usize = 64;

/// `target[b,r,t] = sum over source channels c and taps k of weight[r,c,k] source[b,c,at(t,k)]`.
struct TapSum {
    grid: Grid,
    batch: usize,
    groups: usize,
    source: Side,
    target: Side,
}

/// How a sum is computed.
enum Method<'a> {
    Depthwise(Depthwise<'a>),
    Winograd(Winograd),
    Small(SmallPlanes),
    Direct(TapSum),
}

impl<'a> Method<'a> {
    fn forward(problem: &'a Problem) -> Self {
        if let Some(depthwise) = Depthwise::of(problem) {
            return Self::Depthwise(depthwise);
        }
        if let Some(winograd) = Winograd::forward(problem) {
            return Self::Winograd(winograd);
        }
        if let Some(small) = SmallPlanes::forward(problem) {
            return Self::Small(small);
        }
        let (source, target) = problem.sides();
        let (grid, groups) = (Grid::forward(problem), problem.geometry.groups);
        Self::Direct(TapSum { grid, batch: problem.batch, groups, source, target })
    }

    fn backward(problem: &'a Problem) -> Self {
        if let Some(depthwise) = Depthwise::of(problem) {
            return Self::Depthwise(depthwise);
        }
        if let Some(winograd) = Winograd::backward(problem) {
            return Self::Winograd(winograd);
        }
        if let Some(small) = SmallPlanes::backward(problem) {
            return Self::Small(small);
        }
        let (target, source) = problem.sides();
        let (grid, groups) = (Grid::backward(problem), problem.geometry.groups);
        Self::Direct(TapSum { grid, batch: problem.batch, groups, source, target })
    }
}

/// The output of a convolution.
pub(super) fn forward<T: Element>(
    problem: &Problem,
    input: &[T],
    weight: &[T],
    bias: Option<&[T]>,
) -> Vec<T> {
    match Method::forward(problem) {
        Method::Depthwise(depthwise) => depthwise.forward(input, weight, bias),
        Method::Winograd(winograd) => winograd.apply(input, weight, bias),
        Method::Small(small) => small.apply(input, weight, bias),
        Method::Direct(sum) => sum.apply(input, weight, bias),
    }
}

/// The elements that [`forward`] allocates beside the output.
pub(super) fn forward_workspace(problem: &Problem) -> usize {
    match Method::forward(problem) {
        Method::Depthwise(depthwise) => depthwise.forward_workspace(),
        Method::Winograd(winograd) => winograd.workspace(),
        Method::Small(small) => small.workspace(),
        Method::Direct(sum) => sum.workspace(),
    }
}

/// The gradient of a convolution's input.
pub(super) fn input_grad<T: Element>(problem: &Problem, grad: &[T], weight: &[T]) -> Vec<T> {
    match Method::backward(problem) {
        Method::Depthwise(depthwise) => depthwise.input_grad(grad, weight),
        Method::Winograd(winograd) => winograd.apply(grad, weight, None),
        Method::Small(small) => small.apply(grad, weight, None),
        Method::Direct(sum) => sum.apply(grad, weight, None),
    }
}

/// The elements that [`input_grad`] allocates beside the gradient.
pub(super) fn input_grad_workspace(problem: &Problem) -> usize {
    match Method::backward(problem) {
        Method::Depthwise(depthwise) => depthwise.input_grad_workspace(),
        Method::Winograd(winograd) => winograd.workspace(),
        Method::Small(small) => small.workspace(),
        Method::Direct(sum) => sum.workspace(),
    }
}

/// Runs of targets that a task sums at a time.
const RUNS: usize = BLOCKS * BAND;

impl TapSum {
    /// The elements that [`TapSum::apply`] allocates beside the targets.
    fn workspace(&self) -> usize {
        let tasks = at_a_time(self.batch.div_ceil(self.grid.samples));
        let weights = self.packed(self.grid.taps()) * CHANNELS;
        weights + tasks * (self.padded() + RUNS * RUN * CHANNELS)
    }

    /// Cells of the samples that share a buffer.
    fn padded(&self) -> usize {
        self.source.channels * self.grid.channel()
    }

    /// Vectors of the weights of so many taps.
    fn packed(&self, taps: usize) -> usize {
        self.groups * self.target.channels.div_ceil(CHANNELS) * self.source.channels * taps
    }

    fn apply<T: Element>(&self, source: &[T], weight: &[T], bias: Option<&[T]>) -> Vec<T> {
        let Self { grid, batch, groups, source: from, target: to } = self;
        let taps = weight.len() / (groups * to.channels * from.channels);
        let parts: Vec<(Part, Vec<[T; CHANNELS]>)> = grid
            .parts(from.channels, groups * to.channels * to.pixels())
            .into_iter()
            .map(|part| {
                let packed = self.pack(weight, &part.taps, taps);
                (part, packed)
            })
            .collect();
        let (sample_in, sample_out) =
            (groups * from.channels * from.pixels(), groups * to.channels * to.pixels());
        let buffers = || {
            let padded = vec![T::zero(); self.padded()];
            (padded, vec![[[T::zero(); CHANNELS]; RUN]; RUNS])
        };
        let piece = grid.samples * sample_out;
        build_with(batch * sample_out, piece, buffers, |(padded, sums), number, target| {
            let samples = target.len() / sample_out;
            let source = &source[number * grid.samples * sample_in..][..samples * sample_in];
            let mut target = Planes { values: target, pixels: to.pixels(), bias };
            for group in 0..*groups {
                for (sample, source) in source.chunks_exact(sample_in).enumerate() {
                    let size = from.channels * from.pixels();
                    grid.place(&source[group * size..][..size], sample, padded);
                }
                for (part, packed) in &parts {
                    let blocks = to.channels.div_ceil(CHANNELS);
                    for first in (0..blocks).step_by(BLOCKS) {
                        let size = part.offsets.len();
                        let start = group * blocks + first;
                        let end = group * blocks + (first + BLOCKS).min(blocks);
                        let weights = &packed[start * size..end * size];
                        let channel = group * to.channels + first * CHANNELS;
                        let end =
                            group * to.channels + ((first + BLOCKS) * CHANNELS).min(to.channels);
                        self.block(part, weights, padded, sums, channel..end, &mut target);
                    }
                }
            }
        })
    }

    /// Computes the target channels `channels` of one part.
    fn block<T: Element>(
        &self,
        part: &Part,
        weights: &[[T; CHANNELS]],
        padded: &[T],
        sums: &mut [[[T; CHANNELS]; RUN]],
        channels: Range<usize>,
        target: &mut Planes<'_, T>,
    ) {
        let lanes = Lanes::of_this_machine::<T>();
        let sample = self.groups * self.target.channels * target.pixels;
        let samples = target.values.len() / sample;
        let blocks = channels.len().div_ceil(CHANNELS);
        let targets = &part.targets[..samples * part.runs_of_sample];
        for (targets, runs) in targets.chunks(BAND).zip(part.runs.chunks(BAND)) {
            let runs = &runs[..targets.len().next_multiple_of(2)];
            let sums = &mut sums[..blocks * runs.len()];
            correlate::<T, 1>(lanes, weights, padded, &part.offsets, runs, sums);
            for (block, sums) in sums.chunks_exact(runs.len()).enumerate() {
                let first = channels.start + block * CHANNELS;
                let channels = first..(first + CHANNELS).min(channels.end);
                target.write(channels, sums, targets, part.step);
            }
        }
    }

    /// The weights of `taps` in blocks of target channels, group by group: for each source channel
    /// and tap, those of the targets side by side. Channels too many hold zeros.
    fn pack<T: Element>(&self, weight: &[T], taps: &[usize], all: usize) -> Vec<[T; CHANNELS]> {
        let (from, to) = (&self.source, &self.target);
        let group_size = weight.len() / self.groups;
        let blocks = to.channels.div_ceil(CHANNELS);
        let size = from.channels * taps.len();
        let lanes = Lanes::of_this_machine::<T>();
        build(self.packed(taps.len()), size, |number, packed: &mut [[T; CHANNELS]]| {
            let weight = &weight[number / blocks * group_size..];
            let first = number % blocks * CHANNELS;
            let mut row = vec![[T::zero(); CHANNELS]; all];
            for (channel, packed) in packed.chunks_exact_mut(taps.len()).enumerate() {
                taps_side_by_side(lanes, weight, (from, to), (channel, first), &mut row);
                packed.iter_mut().zip(taps).for_each(|(packed, tap)| *packed = row[*tap]);
            }
        })
    }
}
