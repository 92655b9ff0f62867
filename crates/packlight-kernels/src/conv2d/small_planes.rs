//! Convolution of small planes, and its gradients, with neighbouring samples side by side.
//!
//! The loops of [`super::simd`] take pixels in runs. Along the rows of planes of one or two columns most
//! of a run would lie beyond the edge, and most taps would meet padding. Here a run is one pixel of
//! several samples instead, and each pixel of the target has taps of its own: those that meet the
//! source. Work is divided by channels, since such planes are found where channels are many.

use std::ops::Range;

use super::grid::Grid;
use super::planes::{Planes, sample_by_sample, side_by_side, taps_side_by_side};
use super::problem::{Problem, Side};
use super::simd::{BLOCKS, CHANNELS, Lanes, RUN, WEIGHTS, accumulate, correlate};
use super::tap_sum::BAND;
use super::weight_grad::by_channels;
use crate::dtype::Element;
use crate::par_vec::{at_a_time, build, build_with};

/// Output channels that are computed together.
const PAIR: usize = BLOCKS * CHANNELS;
/// The most pixels of a plane; the layout of larger ones costs less than it would take to find out.
const MOST_PIXELS: usize = 64;
/// Samples side by side.
const SAMPLES: usize = 16;

/// `target[b,r,t] = sum over source channels c and meetings (k,s) of t of weight[r,c,k] source[b,c,s]`.
pub(super) struct SmallPlanes {
    batch: usize,
    groups: usize,
    source: Side,
    target: Side,
    /// Taps of a kernel.
    taps: usize,
    /// For each pixel of the target.
    meetings: Vec<Vec<Meeting>>,
}

/// Buffers that tasks reuse; in all of them the channels of a block are adjacent.
struct Buffers<T> {
    /// All taps of a pair of blocks.
    packed: Vec<[T; CHANNELS]>,
    /// Those that one pixel of the target meets.
    weights: Vec<[T; CHANNELS]>,
    /// The sums of runs of samples.
    sums: Vec<[[T; CHANNELS]; RUN]>,
}

/// The lengths of [`Buffers`].
struct Sizes {
    packed: usize,
    weights: usize,
    sums: usize,
}

/// A tap, and the pixel of the source that it meets.
#[derive(Clone, Copy)]
struct Meeting {
    tap: usize,
    pixel: usize,
}

impl SmallPlanes {
    /// For a convolution, and for the gradient of its weight; `None` if rows suit it better.
    pub(super) fn forward(problem: &Problem) -> Option<Self> {
        let (source, target) = problem.sides();
        Self::new(problem, source, target, meetings, Grid::forward)
    }

    /// For the gradient of a convolution's input; `None` if rows suit it better.
    pub(super) fn backward(problem: &Problem) -> Option<Self> {
        let (target, source) = problem.sides();
        let inverse = |problem: &Problem| {
            let mut inverse = vec![Vec::new(); problem.pixels()];
            for (pixel, met) in meetings(problem).into_iter().enumerate() {
                met.iter().for_each(|met| inverse[met.pixel].push(Meeting { tap: met.tap, pixel }));
            }
            inverse
        };
        Self::new(problem, source, target, inverse, Grid::backward)
    }

    fn new(
        problem: &Problem,
        source: Side,
        target: Side,
        meetings: impl Fn(&Problem) -> Vec<Vec<Meeting>>,
        grid: impl Fn(&Problem) -> Grid,
    ) -> Option<Self> {
        if source.pixels().max(target.pixels()) > MOST_PIXELS {
            return None;
        }
        let (batch, groups) = (problem.batch, problem.geometry.groups);
        let (taps, meetings) = (problem.taps(), meetings(problem));
        let sum = Self { batch, groups, source, target, taps, meetings };
        let here = sum.meetings.iter().map(Vec::len).sum::<usize>() * sum.runs() * RUN;
        (3 * here <= 2 * grid(problem).multiplications() * batch).then_some(sum)
    }

    /// The targets of all samples, plus `bias`, which holds a value for each of their channels.
    pub(super) fn apply<T: Element>(
        &self,
        source: &[T],
        weight: &[T],
        bias: Option<&[T]>,
    ) -> Vec<T> {
        let (laid, pixels) = (self.lay(source), self.target.pixels());
        let offsets: Vec<Vec<usize>> = self.meetings.iter().map(|met| self.offsets(met)).collect();
        let runs = self.starts();
        let (all, size) = (self.all_pairs() * self.of_pair(), self.of_pair());
        let by_pair = build_with(
            all,
            size,
            || self.buffers(),
            |buffers, number, target| {
                let (group, first) = (number / self.pairs(), number % self.pairs() * PAIR);
                let channels = first..(first + PAIR).min(self.target.channels);
                self.pack(&weight[group * weight.len() / self.groups..], channels.clone(), buffers);
                let laid = &laid[self.of_groups(group)..];
                let bias = bias.map(|bias| &bias[group * self.target.channels + first..]);
                let mut target = Planes { values: target, pixels, bias };
                for (pixel, offsets) in offsets.iter().enumerate() {
                    self.sum(pixel, (laid, offsets, &runs), channels.len(), buffers, &mut target);
                }
            },
        );
        sample_by_sample(&by_pair, (self.batch, self.groups), &self.target, PAIR)
    }

    /// The elements that [`SmallPlanes::apply`] allocates beside the targets.
    pub(super) fn workspace(&self) -> usize {
        let Sizes { packed, weights, sums } = self.sizes();
        let task = (packed + weights + sums * RUN) * CHANNELS;
        let targets = self.batch * self.groups * self.target.channels * self.target.pixels();
        // The targets are allocated once the tasks are done.
        let tasks = (at_a_time(self.all_pairs()) * task).saturating_sub(targets);
        self.laid() + self.all_pairs() * self.of_pair() + tasks
    }

    /// All taps of the target channels `channels` of a group, side by side: for each block of channels, each
    /// source channel.
    fn pack<T: Element>(&self, weight: &[T], channels: Range<usize>, buffers: &mut Buffers<T>) {
        let lanes = Lanes::of_this_machine::<T>();
        let depth = self.source.channels;
        let blocks = channels.len().div_ceil(CHANNELS);
        let rows = buffers.packed.chunks_exact_mut(self.taps).take(blocks * depth);
        for (row, taps) in rows.enumerate() {
            let first = channels.start + row / depth * CHANNELS;
            taps_side_by_side(
                lanes,
                weight,
                (&self.source, &self.target),
                (row % depth, first),
                taps,
            );
        }
    }

    /// The sums of one pixel of the target, of all samples and of `channels` channels.
    fn sum<T: Element>(
        &self,
        pixel: usize,
        (laid, offsets, runs): (&[T], &[usize], &[usize]),
        channels: usize,
        buffers: &mut Buffers<T>,
        target: &mut Planes<'_, T>,
    ) {
        let (lanes, met) = (Lanes::of_this_machine::<T>(), &self.meetings[pixel]);
        let blocks = channels.div_ceil(CHANNELS);
        let weights = &mut buffers.weights[..blocks * offsets.len()];
        let rows = buffers.packed.chunks_exact(self.taps);
        let taken = rows.flat_map(|row| met.iter().map(move |met| row[met.tap]));
        weights.iter_mut().zip(taken).for_each(|(weight, taken)| *weight = taken);
        let sample = PAIR * self.target.pixels();
        let place = |first: usize| (first * sample + pixel, RUN.min(self.batch - first));
        let places: Vec<_> = (0..self.batch).step_by(RUN).map(place).collect();
        for (runs, places) in runs.chunks(BAND).zip(places.chunks(BAND)) {
            let sums = &mut buffers.sums[..blocks * runs.len()];
            correlate::<T, 1>(lanes, weights, laid, offsets, runs, sums);
            for (block, sums) in sums.chunks_exact(runs.len()).enumerate() {
                let first = block * CHANNELS;
                target.write(first..(first + CHANNELS).min(channels), sums, places, sample);
            }
        }
    }

    /// The gradient of a convolution's weight from the dense `input`.
    pub(super) fn weight_grad<T: Element>(&self, input: &[T], grad: &[T]) -> Vec<T> {
        let to = &self.target;
        let (laid, starts) = (self.lay(input), self.starts());
        let mut offsets = self.offsets(&[Meeting { tap: 0, pixel: 0 }]);
        // Rounded up to whole blocks of weights by repeating the first.
        offsets.resize(self.offsets_of_gradient(), 0);
        by_channels((self.groups, to.channels), to.weights, PAIR, |first, result| {
            let channels = result.len() / to.weights;
            let blocks = channels.div_ceil(CHANNELS);
            let grads = self.side_by_side(grad, first, channels);
            let laid = &laid[self.of_groups(first / to.channels)..];
            let size = blocks * offsets.len();
            let mut sums = vec![[T::zero(); CHANNELS]; self.taps * size];
            let mut runs = starts.clone();
            for (met, grads) in self.meetings.iter().zip(grads.chunks(starts.len() * blocks)) {
                for met in met {
                    let start = met.pixel * SAMPLES;
                    runs.iter_mut().zip(&starts).for_each(|(run, first)| *run = first + start);
                    let sums = &mut sums[met.tap * size..][..size];
                    accumulate(Lanes::of_this_machine::<T>(), grads, laid, &offsets, &runs, sums);
                }
            }
            for (number, row) in result.chunks_exact_mut(to.weights).enumerate() {
                for (at, weight) in row.iter_mut().enumerate() {
                    let (channel, tap) = (at / self.taps, at % self.taps);
                    let block = tap * blocks + number / CHANNELS;
                    *weight = sums[block * offsets.len() + channel][number % CHANNELS];
                }
            }
        })
    }

    /// The elements that [`SmallPlanes::weight_grad`] allocates beside the gradient.
    pub(super) fn weight_grad_workspace(&self) -> usize {
        let (pixels, blocks) = (self.target.pixels(), self.blocks());
        let grads = pixels * self.runs() * blocks * RUN + pixels;
        let sums = self.taps * blocks * self.offsets_of_gradient();
        self.laid() + at_a_time(self.all_pairs()) * (grads + sums) * CHANNELS
    }

    /// The output gradients of `channels` channels from `first` on: for each pixel, each run of samples and
    /// each block of channels. Samples too many hold zeros.
    fn side_by_side<T: Element>(
        &self,
        grad: &[T],
        first: usize,
        channels: usize,
    ) -> Vec<[[T; CHANNELS]; RUN]> {
        let (pixels, blocks) = (self.target.pixels(), channels.div_ceil(CHANNELS));
        let mut grads = vec![[[T::zero(); CHANNELS]; RUN]; pixels * self.runs() * blocks];
        let mut cells = vec![[T::zero(); CHANNELS]; pixels];
        let lanes = Lanes::of_this_machine::<T>();
        for sample in 0..self.batch {
            for block in 0..blocks {
                let count = CHANNELS.min(channels - block * CHANNELS);
                let channel =
                    sample * self.groups * self.target.channels + first + block * CHANNELS;
                side_by_side(lanes, &grad[channel * pixels..], pixels, count, &mut cells);
                for (pixel, cell) in cells.iter().enumerate() {
                    let run = pixel * self.runs() + sample / RUN;
                    grads[run * blocks + block][sample % RUN] = *cell;
                }
            }
        }
        grads
    }

    /// The source with [`SAMPLES`] samples side by side: for each of these, each channel of all groups
    /// and each pixel. Samples too many hold zeros.
    fn lay<T: Element>(&self, source: &[T]) -> Vec<T> {
        let sample = self.of_groups(self.groups) / SAMPLES;
        let lanes = Lanes::of_this_machine::<T>();
        build(self.laid(), sample * SAMPLES, |number, laid| {
            let first = number * SAMPLES;
            let count = SAMPLES.min(self.batch - first);
            side_by_side(lanes, &source[first * sample..], sample, count, laid.as_chunks_mut().0);
        })
    }

    /// Elements of the source as [`SmallPlanes::lay`] has it.
    fn laid(&self) -> usize {
        self.batch.div_ceil(SAMPLES) * self.of_groups(self.groups)
    }

    /// Those of so many groups of the samples that are side by side.
    fn of_groups(&self, groups: usize) -> usize {
        groups * self.source.channels * self.source.pixels() * SAMPLES
    }

    /// Pairs of blocks of a group's target channels.
    fn pairs(&self) -> usize {
        self.target.channels.div_ceil(PAIR)
    }

    /// Those of all groups.
    fn all_pairs(&self) -> usize {
        self.groups * self.pairs()
    }

    /// Elements of all targets of a pair.
    fn of_pair(&self) -> usize {
        self.batch * PAIR * self.target.pixels()
    }

    /// The most blocks of channels of a pair.
    fn blocks(&self) -> usize {
        BLOCKS.min(self.target.channels.div_ceil(CHANNELS))
    }

    /// The offsets of a tap's gradient, in whole blocks of weights.
    fn offsets_of_gradient(&self) -> usize {
        self.source.channels.next_multiple_of(WEIGHTS)
    }

    fn sizes(&self) -> Sizes {
        let rows = self.blocks() * self.source.channels;
        let most = self.meetings.iter().map(Vec::len).max().unwrap_or(0);
        Sizes { packed: rows * self.taps, weights: rows * most, sums: BLOCKS * BAND }
    }

    fn buffers<T: Element>(&self) -> Buffers<T> {
        let (Sizes { packed, weights, sums }, zeros) = (self.sizes(), [T::zero(); CHANNELS]);
        Buffers {
            packed: vec![zeros; packed],
            weights: vec![zeros; weights],
            sums: vec![[zeros; RUN]; sums],
        }
    }

    /// Runs of samples, of which there is an even number.
    fn runs(&self) -> usize {
        self.batch.div_ceil(RUN).next_multiple_of(2)
    }

    /// Where the runs begin in the layout of the source.
    fn starts(&self) -> Vec<usize> {
        let together = self.of_groups(self.groups);
        let start = |sample: usize| sample / SAMPLES * together + sample % SAMPLES;
        (0..self.runs()).map(|run| start(run * RUN)).collect()
    }

    /// The distance from a run to what a pixel of the target meets: for each channel, each tap.
    fn offsets(&self, met: &[Meeting]) -> Vec<usize> {
        let pixels = self.source.pixels();
        let channels = 0..self.source.channels;
        channels
            .flat_map(|channel| met.iter().map(move |met| (channel * pixels + met.pixel) * SAMPLES))
            .collect()
    }
}

/// For each pixel of the output, the taps that meet the input there.
fn meetings(problem: &Problem) -> Vec<Vec<Meeting>> {
    let g = &problem.geometry;
    let source =
        |target: usize, tap: usize, stride: usize, dilation: usize, padding: usize, size| {
            let position = (target * stride + tap * dilation).checked_sub(padding);
            position.filter(|position| *position < size)
        };
    let of_pixel = |pixel: usize| {
        let (y, x) = (pixel / problem.out_width, pixel % problem.out_width);
        let met = |tap: usize| {
            let (i, j) = (tap / problem.kernel.1, tap % problem.kernel.1);
            let row = source(y, i, g.stride.0, g.dilation.0, g.padding.0, problem.height)?;
            let column = source(x, j, g.stride.1, g.dilation.1, g.padding.1, problem.width)?;
            Some(Meeting { tap, pixel: row * problem.width + column })
        };
        (0..problem.taps()).filter_map(met).collect()
    };
    (0..problem.out_pixels()).map(of_pixel).collect()
}
