//! [`batch_norm`](crate::batch_norm) on a CUDA device. Parameters, their gradients and means are in
//! f32, also for an input in bf16.

use candle_core::{DType, Tensor};

use super::{Call, Gpu, Launch};
use crate::Result;

/// Elements of a channel that a block sums up, as in `batch_norm.cu`.
const PIECE: usize = 8192;

/// `batch_norm::statistics`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn statistics(gpu: &dyn Gpu, input: &Tensor) -> Result<(Tensor, Tensor)> {
    let sizes = Sizes::of(input);
    let [means, squares] = Call::typed("batch_norm_statistics", input.dtype(), sizes.by_pieces())?
        .input(input)
        .output_of(DType::F64, sizes.channels * sizes.pieces())
        .output_of(DType::F64, sizes.channels * sizes.pieces())
        .size(sizes.samples)
        .size(sizes.channels)
        .size(sizes.pixels)
        .run(gpu)?;
    let launch = Launch::warps(sizes.channels);
    let [mean, variance] = Call::plain("batch_norm_join_statistics", launch)
        .input_of(DType::F64, &means)
        .input_of(DType::F64, &squares)
        .output(sizes.channels)
        .output_of(DType::F64, sizes.channels)
        .size(sizes.samples)
        .size(sizes.channels)
        .size(sizes.pixels)
        .run(gpu)?;
    Ok((mean, variance))
}

/// `batch_norm::normalise`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn normalise(
    gpu: &dyn Gpu,
    input: &Tensor,
    mean: &Tensor,
    inverse: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
) -> Result<Tensor> {
    let sizes = Sizes::of(input);
    let [output] = Call::typed("batch_norm_normalise", input.dtype(), sizes.by_planes())?
        .input(input)
        .input_of(DType::F32, mean)
        .input_of(DType::F32, inverse)
        .input_of(DType::F32, weight)
        .input_of(DType::F32, bias)
        .output(input.shape())
        .size(sizes.planes())
        .size(sizes.channels)
        .size(sizes.pixels)
        .run(gpu)?;
    Ok(output)
}

/// `batch_norm::backward`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn backward(
    gpu: &dyn Gpu,
    input: &Tensor,
    grad: &Tensor,
    mean: &Tensor,
    inverse: &Tensor,
    weight: &Tensor,
) -> Result<(Tensor, Tensor, Tensor)> {
    let sizes = Sizes::of(input);
    let [by_weight, by_bias, factors] = sums(gpu, input, grad, mean, inverse, weight)?;
    let [result] = Call::typed("batch_norm_backward", input.dtype(), sizes.by_planes())?
        .input(input)
        .input(grad)
        .input_of(DType::F32, mean)
        .input_of(DType::F32, &factors)
        .output(input.shape())
        .size(sizes.planes())
        .size(sizes.channels)
        .size(sizes.pixels)
        .run(gpu)?;
    Ok((result, by_weight, by_bias))
}

/// `batch_norm::backward_in_place`.
///
/// # Errors
/// Returns an error if `grad` is not contiguous, the type is not supported or the device fails.
pub fn backward_in_place(
    gpu: &dyn Gpu,
    input: &Tensor,
    grad: &Tensor,
    mean: &Tensor,
    inverse: &Tensor,
    weight: &Tensor,
) -> Result<(Tensor, Tensor, Tensor)> {
    let sizes = Sizes::of(input);
    let [by_weight, by_bias, factors] = sums(gpu, input, grad, mean, inverse, weight)?;
    let [] = Call::typed("batch_norm_backward_in_place", input.dtype(), sizes.by_planes())?
        .input(input)
        .in_out(grad)
        .input_of(DType::F32, mean)
        .input_of(DType::F32, &factors)
        .size(sizes.planes())
        .size(sizes.channels)
        .size(sizes.pixels)
        .run(gpu)?;
    Ok((grad.clone(), by_weight, by_bias))
}

/// The gradients of weight and bias, and the factors for that of the input.
fn sums(
    gpu: &dyn Gpu,
    input: &Tensor,
    grad: &Tensor,
    mean: &Tensor,
    inverse: &Tensor,
    weight: &Tensor,
) -> Result<[Tensor; 3]> {
    let sizes = Sizes::of(input);
    let [totals, products] = Call::typed("batch_norm_sums", input.dtype(), sizes.by_pieces())?
        .input(input)
        .input(grad)
        .input_of(DType::F32, mean)
        .output_of(DType::F64, sizes.channels * sizes.pieces())
        .output_of(DType::F64, sizes.channels * sizes.pieces())
        .size(sizes.samples)
        .size(sizes.channels)
        .size(sizes.pixels)
        .run(gpu)?;
    Call::plain("batch_norm_join_sums", Launch::warps(sizes.channels))
        .input_of(DType::F64, &totals)
        .input_of(DType::F64, &products)
        .input(inverse)
        .input(weight)
        .output(sizes.channels)
        .output(sizes.channels)
        .output((sizes.channels, 3))
        .size(sizes.samples)
        .size(sizes.channels)
        .size(sizes.pixels)
        .run(gpu)
}

struct Sizes {
    samples: usize,
    channels: usize,
    pixels: usize,
}

impl Sizes {
    /// Those of (N,C,...), which the caller has checked.
    fn of(input: &Tensor) -> Self {
        let dims = input.dims();
        Self { samples: dims[0], channels: dims[1], pixels: dims[2..].iter().product() }
    }

    fn planes(&self) -> usize {
        self.samples * self.channels
    }

    /// Pieces of a channel.
    fn pieces(&self) -> usize {
        (self.samples * self.pixels).div_ceil(PIECE)
    }

    fn by_pieces(&self) -> Launch {
        Launch::blocks(self.channels * self.pieces())
    }

    fn by_planes(&self) -> Launch {
        Launch::warps(self.planes())
    }
}
