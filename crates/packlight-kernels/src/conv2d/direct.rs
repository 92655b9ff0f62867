//! Convolutions of stride 1 without unfolding: each tap is the whole image at another offset.
//!
//! Samples are laid out one after the other in rows that share their padding: a row of the input
//! is followed by the padding that ends it and begins the next. With row pitch `W + padding`, the
//! pixel that tap (i, j) meets at position `q` stands at `q + i d pitch + j d`, whatever the row,
//! so that the inner loops run over positions alone. Positions between the rows are computed and
//! thrown away.

use rayon::prelude::*;

use super::forward::group_input;
use super::problem::Problem;
use super::simd::{CHANNELS, Lanes, accumulate, correlate};
use crate::element::Element;

/// Positions that a buffer holds at most, unless one sample alone has more.
const POSITIONS: usize = 1024;
/// Pieces of work that the weight gradient is cut into, by samples or by output channels.
const PIECES: usize = 8;
/// Weights up to which each piece may sum a gradient of its own.
const OWN_SUMS: usize = 1 << 16;

/// How samples lie in a padded buffer.
#[derive(Clone, Copy)]
struct Grid {
    /// Distance between rows.
    pitch: usize,
    /// Distance between samples.
    sample: usize,
    /// Distance between channels.
    plane: usize,
    /// Positions of all samples, rounded up to whole blocks.
    positions: usize,
    /// Pixels of an output plane.
    out_pixels: usize,
}

impl Grid {
    /// The layout for up to `samples` samples, whose positions are taken `lanes` at a time.
    fn new(problem: &Problem, samples: usize, lanes: usize) -> Self {
        let g = &problem.geometry;
        let pitch = problem.width + g.padding.1;
        let sample = (problem.height + g.padding.0) * pitch;
        let positions = (samples * sample).next_multiple_of(lanes);
        let reach = Self::offset(problem, pitch, problem.taps() - 1);
        Self {
            pitch,
            sample,
            plane: positions + reach,
            positions,
            out_pixels: problem.out_pixels(),
        }
    }

    /// Distances from a position to the pixels that the taps meet there, channel by channel.
    fn offsets(&self, problem: &Problem) -> Vec<usize> {
        let taps = problem.taps();
        (0..problem.depth() * taps)
            .map(|k| k / taps * self.plane + Self::offset(problem, self.pitch, k % taps))
            .collect()
    }

    /// Distance from a position to the pixel that `tap` meets there.
    fn offset(problem: &Problem, pitch: usize, tap: usize) -> usize {
        let (i, j) = (tap / problem.kernel.1, tap % problem.kernel.1);
        i * problem.geometry.dilation.0 * pitch + j * problem.geometry.dilation.1
    }

    /// Copies planes of `height` x `width` pixels of one sample into the buffer, from row and
    /// column `start` on; `planes` are those of consecutive channels.
    fn place<T: Element>(
        &self,
        planes: &[T],
        (height, width): (usize, usize),
        start: (usize, usize),
        sample: usize,
        buffer: &mut [T],
    ) {
        for (plane, target) in
            planes.chunks_exact(height * width).zip(buffer.chunks_exact_mut(self.plane))
        {
            let first = sample * self.sample + start.0 * self.pitch + start.1;
            for (row, target) in
                plane.chunks_exact(width).zip(target[first..].chunks_mut(self.pitch))
            {
                target[..width].copy_from_slice(row);
            }
        }
    }

    /// Copies planes of pixels `width` wide of one sample to its positions, channels side by side.
    fn interleave<T: Element>(
        &self,
        planes: &[T],
        width: usize,
        sample: usize,
        buffer: &mut [[T; CHANNELS]],
    ) {
        let pixels = self.out_pixels;
        for (channel, plane) in planes.chunks_exact(pixels).enumerate() {
            let rows = buffer[sample * self.sample..].chunks_mut(self.pitch);
            for (row, target) in plane.chunks_exact(width).zip(rows) {
                for (target, pixel) in target.iter_mut().zip(row) {
                    target[channel] = *pixel;
                }
            }
        }
        // A last block of fewer channels leaves those of another block in the rest, whose sums are
        // thrown away.
    }
}

/// Whether these functions take a problem.
pub(super) fn takes(problem: &Problem) -> bool {
    let g = &problem.geometry;
    g.stride == (1, 1)
        && problem.kernel != (1, 1)
        && g.padding.0 <= g.dilation.0 * (problem.kernel.0 - 1)
        && g.padding.1 <= g.dilation.1 * (problem.kernel.1 - 1)
}

/// Samples that share a buffer; depends on the shapes alone.
fn samples_together(problem: &Problem) -> usize {
    let g = &problem.geometry;
    let sample = (problem.height + g.padding.0) * (problem.width + g.padding.1);
    let most = (POSITIONS / sample).clamp(1, problem.batch);
    // As many to each buffer, so that the last one is not half empty.
    problem.batch.div_ceil(problem.batch.div_ceil(most))
}

pub(super) fn forward<T: Element>(
    problem: &Problem,
    input: &[T],
    weight: &[T],
    bias: Option<&[T]>,
) -> Vec<T> {
    let lanes = Lanes::of_this_machine::<T>();
    let (depth, taps, outputs) = (problem.depth(), problem.taps(), problem.group_outputs());
    let together = samples_together(problem);
    let grid = Grid::new(problem, together, lanes.positions());
    let offsets = grid.offsets(problem);
    let packed = pack(weight, outputs, depth * taps, lanes.outputs());
    let group_weights = packed.len() / problem.geometry.groups;
    let pixels = problem.out_pixels();
    let sample_in = problem.in_channels * problem.pixels();
    let sample_out = problem.out_channels * pixels;
    let mut output = vec![T::zero(); problem.batch * sample_out];
    output
        .par_chunks_mut(together * sample_out)
        .zip(input.par_chunks(together * sample_in))
        .for_each_init(
            || {
                (
                    vec![T::zero(); depth * grid.plane],
                    vec![T::zero(); lanes.outputs() * grid.positions],
                )
            },
            |(padded, sums), (output, input)| {
                for group in 0..problem.geometry.groups {
                    for (sample, input) in input.chunks_exact(sample_in).enumerate() {
                        let planes = group_input(problem, input, group);
                        let size = (problem.height, problem.width);
                        grid.place(planes, size, problem.geometry.padding, sample, padded);
                    }
                    let weights = &packed[group * group_weights..][..group_weights];
                    let blocks = weights.chunks_exact(depth * taps * lanes.outputs());
                    for (block, weights) in blocks.enumerate() {
                        correlate(lanes, weights, padded, &offsets, sums);
                        let first = group * outputs + block * lanes.outputs();
                        let count = (outputs - block * lanes.outputs()).min(lanes.outputs());
                        for (sample, output) in output.chunks_exact_mut(sample_out).enumerate() {
                            let planes = output[first * pixels..(first + count) * pixels]
                                .chunks_exact_mut(pixels);
                            for (number, plane) in planes.enumerate() {
                                let bias = bias.map_or(T::zero(), |bias| bias[first + number]);
                                let sums = &sums[number * grid.positions + sample * grid.sample..];
                                let rows = plane.chunks_exact_mut(problem.out_width);
                                for (row, sums) in rows.zip(sums.chunks(grid.pitch)) {
                                    for (pixel, sum) in row.iter_mut().zip(sums) {
                                        *pixel = *sum + bias;
                                    }
                                }
                            }
                        }
                    }
                }
            },
        );
    output
}

/// The rows of a weight matrix in blocks of `rows`: within a block, the columns one after the
/// other; each group of convolution channels is padded to whole blocks with zeros.
fn pack<T: Element>(weight: &[T], group_rows: usize, columns: usize, rows: usize) -> Vec<T> {
    let mut packed = Vec::with_capacity(weight.len().next_multiple_of(rows));
    for group in weight.chunks_exact(group_rows * columns) {
        for block in group.chunks(rows * columns) {
            for column in 0..columns {
                packed.extend(
                    (0..rows).map(|row| {
                        block.get(row * columns + column).copied().unwrap_or_else(T::zero)
                    }),
                );
            }
        }
    }
    packed
}

pub(super) fn weight_grad<T: Element>(problem: &Problem, input: &[T], grad: &[T]) -> Vec<T> {
    let size = problem.depth() * problem.taps();
    let together = samples_together(problem);
    if problem.out_channels * size <= OWN_SUMS {
        // Few weights: each piece sums the gradient of all of them over its own samples.
        let share = problem.batch.div_ceil(PIECES).next_multiple_of(together);
        let samples_in = share * problem.in_channels * problem.pixels();
        let samples_out = share * problem.out_channels * problem.out_pixels();
        let sums: Vec<Vec<T>> = input
            .par_chunks(samples_in)
            .zip(grad.par_chunks(samples_out))
            .map(|(input, grad)| {
                let mut sum = vec![T::zero(); problem.out_channels * size];
                add_weight_grad(problem, input, grad, 0, &mut sum);
                sum
            })
            .collect();
        return sums
            .into_iter()
            .reduce(|mut total, sum| {
                total.iter_mut().zip(sum).for_each(|(total, sum)| *total += sum);
                total
            })
            .unwrap_or_default();
    }
    // Many weights: each piece sums the gradient of its own output channels over all samples.
    let outputs = problem.group_outputs();
    let share = outputs.div_ceil(PIECES.div_ceil(problem.geometry.groups));
    let mut result = vec![T::zero(); problem.out_channels * size];
    result.par_chunks_mut(outputs * size).enumerate().for_each(|(group, result)| {
        result.par_chunks_mut(share * size).enumerate().for_each(|(piece, result)| {
            add_weight_grad(problem, input, grad, group * outputs + piece * share, result);
        });
    });
    result
}

/// Adds the weight gradient of the output channels from `first` on, as many as `result` holds:
/// whole groups, or a part of one.
fn add_weight_grad<T: Element>(
    problem: &Problem,
    input: &[T],
    grad: &[T],
    first: usize,
    result: &mut [T],
) {
    let lanes = Lanes::of_this_machine::<T>();
    let (depth, taps, outputs) = (problem.depth(), problem.taps(), problem.group_outputs());
    let size = depth * taps;
    let together = samples_together(problem);
    let grid = Grid::new(problem, together, lanes.run());
    let (pixels, out_pixels) = (problem.pixels(), problem.out_pixels());
    let (sample_in, sample_out) = (problem.in_channels * pixels, problem.out_channels * out_pixels);
    // Rounded up to whole blocks of weights; those too many repeat the first.
    let mut offsets = grid.offsets(problem);
    offsets.resize(size.next_multiple_of(lanes.weights()), 0);
    let mut padded = vec![T::zero(); depth * grid.plane];
    let mut grads = vec![[T::zero(); CHANNELS]; grid.positions];
    for (part, result) in result.chunks_mut(outputs * size).enumerate() {
        let first = first + part * outputs;
        // Weights in blocks of output channels, which the inner loop takes side by side.
        let mut sums =
            vec![[T::zero(); CHANNELS]; (result.len() / size).div_ceil(CHANNELS) * offsets.len()];
        for (input, grad) in
            input.chunks(together * sample_in).zip(grad.chunks(together * sample_out))
        {
            for (sample, input) in input.chunks_exact(sample_in).enumerate() {
                let planes = group_input(problem, input, first / outputs);
                let size = (problem.height, problem.width);
                grid.place(planes, size, problem.geometry.padding, sample, &mut padded);
            }
            if input.len() < together * sample_in {
                grads.fill([T::zero(); CHANNELS]); // fewer samples than the buffer holds
            }
            for (block, sums) in sums.chunks_exact_mut(offsets.len()).enumerate() {
                let output = first + block * CHANNELS;
                let count = (result.len() / size - block * CHANNELS).min(CHANNELS);
                for (sample, grad) in grad.chunks_exact(sample_out).enumerate() {
                    let planes = &grad[output * out_pixels..(output + count) * out_pixels];
                    grid.interleave(planes, problem.out_width, sample, &mut grads);
                }
                accumulate(lanes, &grads, &padded, &offsets, sums);
            }
        }
        for (block, sums) in sums.chunks_exact(offsets.len()).enumerate() {
            let rows = result[block * CHANNELS * size..].chunks_exact_mut(size).take(CHANNELS);
            for (channel, row) in rows.enumerate() {
                for (weight, sums) in row.iter_mut().zip(sums) {
                    *weight += sums[channel];
                }
            }
        }
    }
}
