//! How the weight gradient is divided into parallel tasks, for dense and for pooled inputs.

use rayon::prelude::*;

use super::problem::Problem;
use super::simd::{BLOCKS, CHANNELS};
use crate::dtype::Element;
use crate::par_vec::{at_a_time, build_parts};

/// The number of tasks, divided by samples or by output channels.
const PIECES: usize = 8;
/// Up to this number of weights, each task sums a gradient of its own.
const OWN_SUMS: usize = 1 << 17;

/// Whether there are few weights, so that each task sums the whole gradient over its own samples;
/// otherwise each task goes through all samples for its own weights.
pub(super) fn own_sums(problem: &Problem) -> bool {
    problem.out_channels * problem.depth() * problem.taps() <= OWN_SUMS
}

/// The gradient of the weight. `piece` computes some output channels of one group from some
/// samples, given these samples of the input and of the output gradient, the first channel, and a
/// zeroed slice for the gradients.
///
/// `input` comes with the number of elements per sample; `together` samples are best combined.
pub(super) fn weight_grad_of<T: Element>(
    problem: &Problem,
    together: usize,
    (input, sample_in): (&[T], usize),
    grad: &[T],
    piece: impl Fn(&[T], &[T], usize, &mut [T]) + Sync,
) -> Vec<T> {
    let size = problem.depth() * problem.taps();
    let outputs = problem.group_outputs();
    if own_sums(problem) {
        let share = samples_of_piece(problem, together);
        let sample_out = problem.out_channels * problem.out_pixels();
        let sums: Vec<Vec<T>> = input
            .par_chunks(share * sample_in)
            .zip(grad.par_chunks(share * sample_out))
            .map(|(input, grad)| {
                let mut sum = vec![T::zero(); problem.out_channels * size];
                for (group, sum) in sum.chunks_exact_mut(outputs * size).enumerate() {
                    piece(input, grad, group * outputs, sum);
                }
                sum
            })
            .collect();
        let mut result = vec![T::zero(); problem.out_channels * size];
        for sum in sums {
            result.iter_mut().zip(sum).for_each(|(total, sum)| *total += sum);
        }
        return result;
    }
    // No task waits for another, and there is no second copy of a large gradient.
    let share = outputs_of_piece(problem);
    let channels = (problem.geometry.groups, outputs);
    by_channels(channels, size, share, |first, result| piece(input, grad, first, result))
}

/// The gradient of a weight of `size` elements for each output channel. Each task takes `share` channels
/// of one group: `piece` computes them into a zeroed slice, given the first.
pub(super) fn by_channels<T: Element>(
    (groups, outputs): (usize, usize),
    size: usize,
    share: usize,
    piece: impl Fn(usize, &mut [T]) + Sync + Send,
) -> Vec<T> {
    let all = groups * outputs;
    let firsts: Vec<usize> = (0..all)
        .step_by(outputs)
        .flat_map(|group| (group..group + outputs).step_by(share))
        .collect();
    let ends = firsts[1..].iter().chain([&all]).map(|end| end * size);
    build_parts(ends, firsts.par_iter(), |first, result| piece(*first, result))
}

/// The elements that [`weight_grad_of`] allocates beside the gradient, where a piece of so many output
/// channels needs `scratch` of them.
pub(super) fn workspace(
    problem: &Problem,
    together: usize,
    scratch: impl Fn(usize) -> usize,
) -> usize {
    let outputs = problem.group_outputs();
    if own_sums(problem) {
        // The gradient itself is allocated once the tasks are done.
        let pieces = problem.batch.div_ceil(samples_of_piece(problem, together));
        let weights = problem.out_channels * problem.depth() * problem.taps();
        let tasks = at_a_time(pieces) * scratch(outputs);
        return pieces * weights + tasks.saturating_sub(weights);
    }
    let share = outputs_of_piece(problem).min(outputs);
    at_a_time(problem.geometry.groups * outputs.div_ceil(share)) * scratch(share)
}

/// Samples of a task that sums the whole gradient, where `together` are best combined.
fn samples_of_piece(problem: &Problem, together: usize) -> usize {
    problem.batch.div_ceil(PIECES).next_multiple_of(together)
}

/// Output channels of a task that goes through all samples.
fn outputs_of_piece(problem: &Problem) -> usize {
    problem.group_outputs().div_ceil(PIECES).next_multiple_of(BLOCKS * CHANNELS)
}
