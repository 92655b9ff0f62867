//! The gradient of the input.

use rayon::prelude::*;

use super::forward::forward;
use super::problem::{Conv2dGeometry, Problem};
use super::unfold::fold;
use crate::element::Element;
use crate::matmul::{Matrix, multiply};

pub(super) fn input_grad<T: Element>(problem: &Problem, grad: &[T], weight: &[T]) -> Vec<T> {
    match as_convolution(problem) {
        Some(transposed) => forward(&transposed, grad, &flipped(problem, weight), None),
        None => folded(problem, grad, weight),
    }
}

/// The convolution of the output gradient that gives the input gradient at stride 1.
fn as_convolution(problem: &Problem) -> Option<Problem> {
    let g = problem.geometry;
    let padding = (
        (g.dilation.0 * (problem.kernel.0 - 1)).checked_sub(g.padding.0)?,
        (g.dilation.1 * (problem.kernel.1 - 1)).checked_sub(g.padding.1)?,
    );
    (g.stride == (1, 1)).then_some(Problem {
        in_channels: problem.out_channels,
        height: problem.out_height,
        width: problem.out_width,
        out_channels: problem.in_channels,
        out_height: problem.height,
        out_width: problem.width,
        geometry: Conv2dGeometry { padding, ..g },
        ..*problem
    })
}

/// The weights with input and output channels exchanged within each group and the taps reversed.
fn flipped<T: Element>(problem: &Problem, weight: &[T]) -> Vec<T> {
    let (depth, outputs, taps) = (problem.depth(), problem.group_outputs(), problem.taps());
    let mut flipped = Vec::with_capacity(weight.len());
    for group in weight.chunks_exact((outputs * depth * taps).max(1)) {
        for channel in 0..depth {
            for output in 0..outputs {
                let taps = &group[(output * depth + channel) * taps..][..taps];
                flipped.extend(taps.iter().rev());
            }
        }
    }
    flipped
}

/// For any geometry: the product of transposed weight and output gradient, folded back.
fn folded<T: Element>(problem: &Problem, grad: &[T], weight: &[T]) -> Vec<T> {
    let pixels = problem.out_pixels();
    let sample_out = problem.out_channels * pixels;
    let sample_in = problem.in_channels * problem.pixels();
    let rows = problem.depth() * problem.taps();
    let outputs = problem.group_outputs();
    let mut result = vec![T::zero(); problem.batch * sample_in];
    if result.is_empty() {
        return result;
    }
    let together = problem.samples_together(pixels);
    result
        .par_chunks_mut(together * sample_in)
        .zip(grad.par_chunks(together * sample_out))
        .for_each_init(
            || (Vec::new(), Vec::new()),
            |(side_by_side, columns), (result, grad)| {
                let samples = grad.len() / sample_out;
                let width = samples * pixels;
                for group in 0..problem.geometry.groups {
                    let weight = &weight[group * outputs * rows..][..outputs * rows];
                    side_by_side.clear();
                    for output in 0..outputs {
                        for sample in grad.chunks_exact(sample_out) {
                            let plane = (group * outputs + output) * pixels;
                            side_by_side.extend_from_slice(&sample[plane..plane + pixels]);
                        }
                    }
                    columns.resize(rows * width, T::zero());
                    multiply(
                        columns,
                        width,
                        false,
                        Matrix::row_major(weight, outputs, rows).transposed(),
                        Matrix::row_major(side_by_side, outputs, width),
                    );
                    let planes = problem.depth() * problem.pixels();
                    for (sample, result) in result.chunks_exact_mut(sample_in).enumerate() {
                        let image = &mut result[group * planes..][..planes];
                        fold(problem, &columns[sample * pixels..], width, image);
                    }
                }
            },
        );
    result
}
