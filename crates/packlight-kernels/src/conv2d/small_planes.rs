//! Convolution of small planes, and its gradients, with neighbouring samples side by side.
//!
//! The loops of [`super::simd`] take pixels in runs. Along the rows of planes of one or two columns most
//! of a run would lie beyond the edge, and most taps would meet padding. Here a run is one pixel of
//! several samples instead, and each pixel of the target has taps of its own: those that meet the
//! source. Work is divided by channels, since such planes are found where channels are many.

use super::grid::Grid;
use super::planes::{Planes, sample_by_sample, side_by_side, taps_side_by_side};
use super::problem::{Problem, Side};
use super::simd::{BLOCKS, CHANNELS, Lanes, RUN, WEIGHTS, accumulate, correlate};
use super::tap_sum::BAND;
use super::weight_grad::by_channels;
use crate::dtype::Element;
use crate::par_vec::{build, build_with};

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
    /// For each pixel of the target.
    meetings: Vec<Vec<Meeting>>,
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
        let sum = Self { batch, groups, source, target, meetings: meetings(problem) };
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
        let Self { batch, groups, source: from, target: to, .. } = self;
        let lanes = Lanes::of_this_machine::<T>();
        let (laid, pixels) = (self.lay(source), to.pixels());
        let offsets: Vec<Vec<usize>> = self.meetings.iter().map(|met| self.offsets(met)).collect();
        let runs = self.starts();
        let sample = PAIR * pixels;
        let pairs = to.channels.div_ceil(PAIR);
        let taps = weight.len() / (groups * to.channels * from.channels);
        let most = self.meetings.iter().map(Vec::len).max().unwrap_or(0);
        let buffers = || {
            let zeros = [T::zero(); CHANNELS];
            let packed = vec![zeros; BLOCKS * from.channels * taps];
            let weights = vec![zeros; BLOCKS * from.channels * most];
            (packed, weights, vec![[zeros; RUN]; BLOCKS * BAND])
        };
        let by_pair = build_with(
            groups * pairs * batch * sample,
            batch * sample,
            buffers,
            |(packed, weights, sums), number, target| {
                let (group, first) = (number / pairs, number % pairs * PAIR);
                let channels = first..(first + PAIR).min(to.channels);
                let blocks = channels.len().div_ceil(CHANNELS);
                let weight = &weight[group * weight.len() / groups..];
                let rows = packed.chunks_exact_mut(taps).take(blocks * from.channels);
                for (row, packed) in rows.enumerate() {
                    let (block, channel) = (row / from.channels, row % from.channels);
                    let first = first + block * CHANNELS;
                    taps_side_by_side(weight, (from, to), (channel, first), packed);
                }
                let laid = &laid[group * from.channels * from.pixels() * SAMPLES..];
                let bias = bias.map(|bias| &bias[group * to.channels + first..]);
                let mut target = Planes { values: target, pixels, bias };
                for (pixel, (met, offsets)) in self.meetings.iter().zip(&offsets).enumerate() {
                    let weights = &mut weights[..blocks * offsets.len()];
                    let rows = packed.chunks_exact(taps);
                    let taken = rows.flat_map(|row| met.iter().map(move |met| row[met.tap]));
                    weights.iter_mut().zip(taken).for_each(|(weight, taken)| *weight = taken);
                    for (runs, band) in runs.chunks(BAND).zip(0..) {
                        let sums = &mut sums[..blocks * runs.len()];
                        correlate::<T, 1>(lanes, weights, laid, offsets, runs, sums);
                        let places: Vec<(usize, usize)> = (0..runs.len())
                            .map(|run| (band * BAND + run) * RUN)
                            .take_while(|sample| sample < batch)
                            .map(|first| (first * sample + pixel, RUN.min(batch - first)))
                            .collect();
                        for (block, sums) in sums.chunks_exact(runs.len()).enumerate() {
                            let first = block * CHANNELS;
                            let channels = first..(first + CHANNELS).min(channels.len());
                            target.write(channels, sums, &places, sample);
                        }
                    }
                }
            },
        );
        sample_by_sample(&by_pair, (*batch, *groups), to, PAIR)
    }

    /// The gradient of a convolution's weight from the dense `input`.
    pub(super) fn weight_grad<T: Element>(&self, input: &[T], grad: &[T]) -> Vec<T> {
        let Self { batch, groups, source: from, target: to, .. } = self;
        let lanes = Lanes::of_this_machine::<T>();
        let laid = self.lay(input);
        let (taps, pixels) = (to.weights / from.channels, to.pixels());
        let cell = |channel: usize| channel * from.pixels() * SAMPLES;
        let mut offsets: Vec<usize> = (0..from.channels).map(cell).collect();
        // Rounded up to whole blocks of weights by repeating the first.
        offsets.resize(from.channels.next_multiple_of(WEIGHTS), 0);
        let starts = self.starts();
        by_channels((*groups, to.channels), to.weights, PAIR, |first, result| {
            let channels = result.len() / to.weights;
            let blocks = channels.div_ceil(CHANNELS);
            let zeros = [T::zero(); CHANNELS];
            let mut grads = vec![[zeros; RUN]; pixels * starts.len() * blocks];
            let mut cells = vec![zeros; pixels];
            for sample in 0..*batch {
                for block in 0..blocks {
                    let first = first + block * CHANNELS;
                    let count = CHANNELS.min(channels - block * CHANNELS);
                    let planes = &grad[(sample * groups * to.channels + first) * pixels..];
                    side_by_side(planes, pixels, count, &mut cells);
                    for (pixel, cell) in cells.iter().enumerate() {
                        let run = pixel * starts.len() + sample / RUN;
                        grads[run * blocks + block][sample % RUN] = *cell;
                    }
                }
            }
            let laid = &laid[first / to.channels * from.channels * from.pixels() * SAMPLES..];
            let mut sums = vec![zeros; taps * blocks * offsets.len()];
            let mut runs = starts.clone();
            for (met, grads) in self.meetings.iter().zip(grads.chunks(starts.len() * blocks)) {
                for met in met {
                    let start = met.pixel * SAMPLES;
                    runs.iter_mut().zip(&starts).for_each(|(run, first)| *run = first + start);
                    let size = blocks * offsets.len();
                    let sums = &mut sums[met.tap * size..][..size];
                    accumulate(lanes, grads, laid, &offsets, &runs, sums);
                }
            }
            for (number, row) in result.chunks_exact_mut(to.weights).enumerate() {
                for (channel, row) in row.chunks_exact_mut(taps).enumerate() {
                    for (tap, weight) in row.iter_mut().enumerate() {
                        let block = tap * blocks + number / CHANNELS;
                        *weight = sums[block * offsets.len() + channel][number % CHANNELS];
                    }
                }
            }
        })
    }

    /// The source with [`SAMPLES`] samples side by side: for each of these, each channel of all groups
    /// and each pixel. Samples too many hold zeros.
    fn lay<T: Element>(&self, source: &[T]) -> Vec<T> {
        let sample = self.sample();
        build(self.batch.div_ceil(SAMPLES) * sample * SAMPLES, sample * SAMPLES, |number, laid| {
            let first = number * SAMPLES;
            let count = SAMPLES.min(self.batch - first);
            side_by_side(&source[first * sample..], sample, count, laid.as_chunks_mut().0);
        })
    }

    /// Elements of a sample of the source.
    fn sample(&self) -> usize {
        self.groups * self.source.channels * self.source.pixels()
    }

    /// Runs of samples, of which there is an even number.
    fn runs(&self) -> usize {
        self.batch.div_ceil(RUN).next_multiple_of(2)
    }

    /// Where the runs begin in the layout of the source.
    fn starts(&self) -> Vec<usize> {
        let start = |sample: usize| sample / SAMPLES * self.sample() * SAMPLES + sample % SAMPLES;
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
