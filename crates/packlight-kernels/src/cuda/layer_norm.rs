//! [`layer_norm`](crate::layer_norm) on a CUDA device. Parameters, their gradients and statistics are
//! in f32, also for tokens in bf16.

use candle_core::{DType, Tensor};

use super::{Call, Gpu, Launch};
use crate::Result;
use crate::layer_norm::Output;

/// Tokens whose share of the parameters' gradients is summed at a time.
const PIECE: usize = 64;

/// `layer_norm::forward` for tokens of `n` features.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn forward(
    gpu: &dyn Gpu,
    input: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    epsilon: f64,
) -> Result<Output> {
    let (tokens, n) = sizes(input, weight);
    let [output, mean, inverse] =
        Call::typed("layer_norm_forward", input.dtype(), Launch::warps(tokens))?
            .input(input)
            .input_of(DType::F32, weight)
            .input_of(DType::F32, bias)
            .output(input.shape())
            .output_of(DType::F32, tokens)
            .output_of(DType::F32, tokens)
            .size(tokens)
            .size(n)
            .f64(epsilon)
            .run(gpu)?;
    Ok(Output { output, mean, inverse })
}

/// `layer_norm::backward`.
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
    let (tokens, n) = sizes(input, weight);
    let [result] = Call::typed("layer_norm_backward", input.dtype(), Launch::warps(tokens))?
        .input(input)
        .input(grad)
        .input_of(DType::F32, mean)
        .input_of(DType::F32, inverse)
        .input_of(DType::F32, weight)
        .output(input.shape())
        .size(tokens)
        .size(n)
        .run(gpu)?;
    let (pieces, groups) = (tokens.div_ceil(PIECE), n.div_ceil(32));
    let launch = Launch::blocks(pieces * groups);
    let [of_weight, of_bias] = Call::typed("layer_norm_pieces", input.dtype(), launch)?
        .input(input)
        .input(grad)
        .input_of(DType::F32, mean)
        .input_of(DType::F32, inverse)
        .output_of(DType::F64, (pieces, n))
        .output_of(DType::F64, (pieces, n))
        .size(tokens)
        .size(n)
        .size(PIECE)
        .run(gpu)?;
    let [by_weight, by_bias] = Call::plain("layer_norm_parameters", Launch::blocks(groups))
        .input_of(DType::F64, &of_weight)
        .input_of(DType::F64, &of_bias)
        .output(n)
        .output(n)
        .size(pieces)
        .size(n)
        .run(gpu)?;
    Ok((result, by_weight, by_bias))
}

/// Tokens and features.
fn sizes(input: &Tensor, weight: &Tensor) -> (usize, usize) {
    let n = weight.elem_count();
    (input.elem_count() / n, n)
}
