//! The gradient of the weight from a dense input.

use super::depthwise::{Depthwise, Input};
use super::grid::Grid;
use super::planes::runs_side_by_side;
use super::problem::Problem;
use super::simd::{BLOCKS, CHANNELS, Lanes, RUN, WEIGHTS, accumulate};
use super::small_planes::SmallPlanes;
use super::tap_sum::BAND;
use super::weight_grad::{self, own_sums, weight_grad_of};
use crate::dtype::Element;
use crate::par_vec::build;

/// The gradient of the weight from the dense `input`.
pub(super) fn weight_grad<T: Element>(problem: &Problem, input: &[T], grad: &[T]) -> Vec<T> {
    if let Some(depthwise) = Depthwise::of(problem) {
        return depthwise.weight_grad(Input::Dense(input), grad);
    }
    if let Some(small) = SmallPlanes::forward(problem) {
        return small.weight_grad(input, grad);
    }
    let grid = Grid::forward(problem);
    let sample_in = problem.in_channels * problem.pixels();
    // If every task reads all samples, they are laid out once for all tasks.
    let laid = (!own_sums(problem)).then(|| lay(problem, &grid, input));
    weight_grad_of(problem, grid.samples, (input, sample_in), grad, |input, grad, first, result| {
        piece_grad(problem, &grid, (input, laid.as_deref()), grad, first, result);
    })
}

/// The elements that [`weight_grad`] allocates beside the gradient.
pub(super) fn workspace(problem: &Problem) -> usize {
    if let Some(depthwise) = Depthwise::of(problem) {
        return depthwise.weight_grad_workspace();
    }
    if let Some(small) = SmallPlanes::forward(problem) {
        return small.weight_grad_workspace();
    }
    let grid = Grid::forward(problem);
    let is_laid = !own_sums(problem);
    let tasks = weight_grad::workspace(problem, grid.samples, |outputs| {
        let (sums, buffer) = scratch(problem, &grid, outputs, is_laid);
        sums * CHANNELS + buffer
    });
    tasks + if is_laid { batches(problem, &grid) * cells(problem.in_channels, &grid) } else { 0 }
}

/// How many batches of samples share a buffer.
fn batches(problem: &Problem, grid: &Grid) -> usize {
    problem.batch.div_ceil(grid.samples)
}

/// Cells of so many channels.
fn cells(channels: usize, grid: &Grid) -> usize {
    channels * grid.channel()
}

/// What a task allocates for so many output channels: vectors of sums, and cells of a buffer.
fn scratch(problem: &Problem, grid: &Grid, outputs: usize, is_laid: bool) -> (usize, usize) {
    // Rounded up to whole blocks of weights.
    let weights = (problem.depth() * problem.taps()).next_multiple_of(WEIGHTS);
    let buffer = if is_laid { 0 } else { cells(problem.depth(), grid) };
    (outputs.div_ceil(CHANNELS) * weights, buffer)
}

/// The samples in the layout of the inner loops, in batches that share a buffer.
fn lay<T: Element>(problem: &Problem, grid: &Grid, input: &[T]) -> Vec<T> {
    let sample_in = problem.in_channels * problem.pixels();
    let size = cells(problem.in_channels, grid);
    build(batches(problem, grid) * size, size, |number, laid| {
        let samples = input[number * grid.samples * sample_in..].chunks_exact(sample_in);
        for (sample, input) in samples.take(grid.samples).enumerate() {
            grid.place(input, sample, laid);
        }
    })
}

/// The weight gradient of the output channels of one group from `first` on, as many as `result`
/// holds, from the input or its layout.
fn piece_grad<T: Element>(
    problem: &Problem,
    grid: &Grid,
    (input, laid): (&[T], Option<&[T]>),
    grad: &[T],
    first: usize,
    result: &mut [T],
) {
    let lanes = Lanes::of_this_machine::<T>();
    let (depth, size) = (problem.depth(), problem.depth() * problem.taps());
    let channels = depth * problem.pixels();
    let sample_in = problem.in_channels * problem.pixels();
    let pixels = problem.out_pixels();
    let sample_out = problem.out_channels * pixels;
    let outputs = first..first + result.len() / size;
    let group = first / problem.group_outputs();
    let cells = cells(depth, grid);
    let (vectors, buffer) = scratch(problem, grid, outputs.len(), laid.is_some());
    // All targets of a convolution meet the same taps, so there is one part.
    for mut part in grid.parts(depth, sample_out) {
        // Rounded up to whole blocks of weights by repeating the first.
        part.offsets.resize(size.next_multiple_of(WEIGHTS), 0);
        let mut sums = vec![[T::zero(); CHANNELS]; vectors];
        let mut buffer = vec![T::zero(); buffer];
        let mut grads = [[[T::zero(); CHANNELS]; RUN]; BLOCKS * BAND];
        let inputs = input.chunks(grid.samples * sample_in);
        let grads_of_samples = grad.chunks(grid.samples * sample_out);
        for (number, (input, grad)) in inputs.zip(grads_of_samples).enumerate() {
            let padded = match laid {
                Some(laid) => &laid[(number * problem.geometry.groups + group) * cells..][..cells],
                None => {
                    for (sample, input) in input.chunks_exact(sample_in).enumerate() {
                        grid.place(&input[group * channels..][..channels], sample, &mut buffer);
                    }
                    &buffer
                }
            };
            let targets = &part.targets[..input.len() / sample_in * part.runs_of_sample];
            for (targets, runs) in targets.chunks(BAND).zip(part.runs.chunks(BAND)) {
                let runs = &runs[..targets.len()];
                let pairs = sums.chunks_mut(BLOCKS * part.offsets.len());
                for (pair, sums) in pairs.enumerate() {
                    let grads = &mut grads[..sums.len() / part.offsets.len() * runs.len()];
                    let start = outputs.start + pair * BLOCKS * CHANNELS;
                    let outputs = start..(start + BLOCKS * CHANNELS).min(outputs.end);
                    interleave(
                        lanes,
                        &grad[outputs.start * pixels..],
                        pixels,
                        outputs.len(),
                        targets,
                        grads,
                    );
                    accumulate(lanes, grads, padded, &part.offsets, runs, sums);
                }
            }
        }
        for (row, number) in result.chunks_exact_mut(size).zip(0..) {
            let sums = &sums[number / CHANNELS * part.offsets.len()..];
            for (weight, sums) in row.iter_mut().zip(sums) {
                *weight = sums[number % CHANNELS];
            }
        }
    }
}

/// Interleaves the first `channels` planes of the runs `targets`, run by run in blocks of channels;
/// elements beyond the channels or the end of a row are zero.
fn interleave<T: Element>(
    lanes: Lanes,
    planes: &[T],
    pixels: usize,
    channels: usize,
    targets: &[(usize, usize)],
    interleaved: &mut [[[T; CHANNELS]; RUN]],
) {
    let blocks = channels.div_ceil(CHANNELS);
    for block in 0..blocks {
        let first = block * CHANNELS;
        let rows = (pixels, CHANNELS.min(channels - first));
        let (planes, runs) = (&planes[first * pixels..], &mut interleaved[block..]);
        runs_side_by_side(lanes, planes, rows, targets, runs, blocks);
    }
}
