//! The output: weight times unfolded input.

use rayon::prelude::*;

use super::direct;
use super::problem::Problem;
use super::unfold::unfold;
use crate::element::Element;
use crate::matmul::{Matrix, multiply};

/// Elements of the unfolded input that are held at a time; half of a usual second-level cache.
pub(super) const UNFOLDED: usize = 128 * 1024;

pub(super) fn forward<T: Element>(
    problem: &Problem,
    input: &[T],
    weight: &[T],
    bias: Option<&[T]>,
) -> Vec<T> {
    if direct::takes(problem) {
        return direct::forward(problem, input, weight, bias);
    }
    let pixels = problem.out_pixels();
    let sample_out = problem.out_channels * pixels;
    let sample_in = problem.in_channels * problem.pixels();
    let mut output = vec![T::zero(); problem.batch * sample_out];
    let together = problem.samples_together(pixels);
    output
        .par_chunks_mut(together * sample_out)
        .zip(input.par_chunks(together * sample_in))
        .for_each_init(
            || (Vec::new(), Vec::new()),
            |(columns, product), (output, input)| {
                if let Some(bias) = bias {
                    for (plane, bias) in output.chunks_exact_mut(pixels).zip(bias.iter().cycle()) {
                        plane.fill(*bias);
                    }
                }
                for group in 0..problem.geometry.groups {
                    let weight = group_weight(problem, weight, group);
                    if together == 1 {
                        one_sample(problem, input, weight, group, output, bias.is_some(), columns);
                    } else {
                        samples(problem, input, weight, group, output, columns, product);
                    }
                }
            },
        );
    output
}

/// The weights of one group as a matrix, a row for each output channel.
fn group_weight<'a, T: Element>(problem: &Problem, weight: &'a [T], group: usize) -> Matrix<'a, T> {
    let rows = problem.group_outputs();
    let columns = problem.depth() * problem.taps();
    Matrix::row_major(&weight[group * rows * columns..][..rows * columns], rows, columns)
}

/// The planes of one group's input channels.
pub(super) fn group_input<'a, T>(problem: &Problem, input: &'a [T], group: usize) -> &'a [T] {
    let size = problem.depth() * problem.pixels();
    &input[group * size..][..size]
}

fn one_sample<T: Element>(
    problem: &Problem,
    input: &[T],
    weight: Matrix<'_, T>,
    group: usize,
    output: &mut [T],
    accumulate: bool,
    columns: &mut Vec<T>,
) {
    let pixels = problem.out_pixels();
    let input = group_input(problem, input, group);
    let output = &mut output[group * weight.rows * pixels..][..weight.rows * pixels];
    if problem.is_pointwise() {
        let input = Matrix::row_major(input, weight.columns, pixels);
        return multiply(output, pixels, accumulate, weight, input);
    }
    let rows = (UNFOLDED / (weight.columns * problem.out_width)).clamp(1, problem.out_height);
    columns.resize(weight.columns * rows * problem.out_width, T::zero());
    for start in (0..problem.out_height).step_by(rows) {
        let band = start..(start + rows).min(problem.out_height);
        let width = band.len() * problem.out_width;
        unfold(problem, input, band, columns, width);
        multiply(
            &mut output[start * problem.out_width..],
            pixels,
            accumulate,
            weight,
            Matrix::strided(columns, weight.columns, width, width),
        );
    }
}

fn samples<T: Element>(
    problem: &Problem,
    input: &[T],
    weight: Matrix<'_, T>,
    group: usize,
    output: &mut [T],
    columns: &mut Vec<T>,
    product: &mut Vec<T>,
) {
    let pixels = problem.out_pixels();
    let sample_in = problem.in_channels * problem.pixels();
    let width = input.len() / sample_in * pixels;
    columns.resize(weight.columns * width, T::zero());
    for (sample, input) in input.chunks_exact(sample_in).enumerate() {
        let input = group_input(problem, input, group);
        unfold(problem, input, 0..problem.out_height, &mut columns[sample * pixels..], width);
    }
    product.resize(weight.rows * width, T::zero());
    multiply(product, width, false, weight, Matrix::row_major(columns, weight.columns, width));
    let sample_out = problem.out_channels * pixels;
    for (sample, output) in output.chunks_exact_mut(sample_out).enumerate() {
        let planes = output[group * weight.rows * pixels..].chunks_exact_mut(pixels);
        for (plane, row) in planes.zip(product.chunks_exact(width)) {
            for (to, from) in plane.iter_mut().zip(&row[sample * pixels..]) {
                *to += *from; // the plane holds the bias, or zeros
            }
        }
    }
}
