//! The gradient of the weight from a dense input.

use std::ops::Range;

use rayon::prelude::*;

use super::direct;
use super::forward::UNFOLDED;
use super::problem::Problem;
use super::unfold::unfold;
use crate::element::Element;
use crate::matmul::{Matrix, multiply};

/// Rows of the unfolded input that one piece of work takes.
const ROWS: usize = 144;
/// Pieces of work below which the output channels are divided too.
const PIECES: usize = 8;

/// One block of the weight gradient, which sums over the whole batch by itself: no piece waits for
/// another, and the result does not depend on who computes it.
struct Piece {
    group: usize,
    /// Output channels, within the group.
    outputs: Range<usize>,
    /// Input channels, within the group.
    channels: Range<usize>,
}

/// Divides the weights into pieces, by the shapes alone.
fn pieces(problem: &Problem) -> Vec<Piece> {
    let (depth, outputs) = (problem.depth(), problem.group_outputs());
    let channel_step = (ROWS / problem.taps()).max(1);
    let by_channel = depth.div_ceil(channel_step) * problem.geometry.groups;
    let output_step = outputs.div_ceil(PIECES.div_ceil(by_channel.max(1))).max(1);
    let mut pieces = Vec::new();
    for group in 0..problem.geometry.groups {
        for channel in (0..depth).step_by(channel_step) {
            for output in (0..outputs).step_by(output_step) {
                pieces.push(Piece {
                    group,
                    outputs: output..(output + output_step).min(outputs),
                    channels: channel..(channel + channel_step).min(depth),
                });
            }
        }
    }
    pieces
}

pub(super) fn weight_grad<T: Element>(problem: &Problem, input: &[T], grad: &[T]) -> Vec<T> {
    if direct::takes(problem) {
        return direct::weight_grad(problem, input, grad);
    }
    let pieces = pieces(problem);
    let blocks: Vec<Vec<T>> =
        pieces.par_iter().map(|piece| piece_grad(problem, piece, input, grad)).collect();
    let (depth, taps) = (problem.depth(), problem.taps());
    let mut result = vec![T::zero(); problem.out_channels * depth * taps];
    for (piece, block) in pieces.iter().zip(&blocks) {
        let width = piece.channels.len() * taps;
        for (output, row) in piece.outputs.clone().zip(block.chunks_exact(width)) {
            let output = piece.group * problem.group_outputs() + output;
            let start = (output * depth + piece.channels.start) * taps;
            result[start..start + width].copy_from_slice(row);
        }
    }
    result
}

fn piece_grad<T: Element>(problem: &Problem, piece: &Piece, input: &[T], grad: &[T]) -> Vec<T> {
    let pixels = problem.out_pixels();
    let rows = piece.channels.len() * problem.taps();
    let mut block = vec![T::zero(); piece.outputs.len() * rows];
    let sample_in = (problem.in_channels * problem.pixels()).max(1);
    let sample_out = (problem.out_channels * pixels).max(1);
    let first_channel = piece.group * problem.depth() + piece.channels.start;
    let image =
        first_channel * problem.pixels()..(first_channel + piece.channels.len()) * problem.pixels();
    let first_output = piece.group * problem.group_outputs() + piece.outputs.start;
    let planes = first_output * pixels..(first_output + piece.outputs.len()) * pixels;

    let together = problem.samples_together(pixels);
    let (mut columns, mut side_by_side) = (Vec::new(), Vec::new());
    for (input, grad) in input.chunks(together * sample_in).zip(grad.chunks(together * sample_out))
    {
        if together > 1 {
            let width = grad.len() / sample_out * pixels;
            columns.resize(rows * width, T::zero());
            for (sample, input) in input.chunks_exact(sample_in).enumerate() {
                let all = 0..problem.out_height;
                unfold(problem, &input[image.clone()], all, &mut columns[sample * pixels..], width);
            }
            side_by_side.clear();
            for output in 0..piece.outputs.len() {
                for grad in grad.chunks_exact(sample_out) {
                    let start = planes.start + output * pixels;
                    side_by_side.extend_from_slice(&grad[start..start + pixels]);
                }
            }
            multiply(
                &mut block,
                rows,
                true,
                Matrix::row_major(&side_by_side, piece.outputs.len(), width),
                Matrix::row_major(&columns, rows, width).transposed(),
            );
            continue;
        }
        let (image, planes) = (&input[image.clone()], &grad[planes.clone()]);
        if problem.is_pointwise() {
            multiply(
                &mut block,
                rows,
                true,
                Matrix::row_major(planes, piece.outputs.len(), pixels),
                Matrix::row_major(image, rows, pixels).transposed(),
            );
            continue;
        }
        let band = (UNFOLDED / (rows * problem.out_width)).clamp(1, problem.out_height);
        columns.resize(rows * band * problem.out_width, T::zero());
        for start in (0..problem.out_height).step_by(band) {
            let band = start..(start + band).min(problem.out_height);
            let width = band.len() * problem.out_width;
            unfold(problem, image, band, &mut columns, width);
            multiply(
                &mut block,
                rows,
                true,
                Matrix::strided(
                    &planes[start * problem.out_width..],
                    piece.outputs.len(),
                    width,
                    pixels,
                ),
                Matrix::row_major(&columns[..rows * width], rows, width).transposed(),
            );
        }
    }
    block
}
