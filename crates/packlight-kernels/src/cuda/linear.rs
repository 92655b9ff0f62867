//! [`linear`](crate::linear) on a CUDA device: candle's matrix products, which are cuBLAS's, and sums of
//! columns.

use candle_core::{DType, Tensor};

use super::product::product;
use super::{Call, Gpu, Launch};
use crate::Result;

/// Rows of a piece, which a thread adds up.
const ROWS: usize = 64;

/// `linear::forward`, of this output shape.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn forward(
    gpu: &dyn Gpu,
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    shape: &[usize],
) -> Result<Tensor> {
    let (outputs, inputs) = weight.dims2()?;
    let weight = weight.contiguous()?;
    let product = product(gpu, "linear", &matrix(input, inputs)?, &weight.t()?)?;
    let output = match bias {
        Some(bias) => product.broadcast_add(&bias.reshape((1, outputs))?)?,
        None => product,
    };
    Ok(output.reshape(shape)?)
}

/// `linear::input_grad`, of this input shape.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn input_grad(
    gpu: &dyn Gpu,
    grad: &Tensor,
    weight: &Tensor,
    shape: &[usize],
) -> Result<Tensor> {
    let product = product(gpu, "linear", &matrix(grad, weight.dim(0)?)?, &weight.contiguous()?)?;
    Ok(product.reshape(shape)?)
}

/// `linear::weight_grad`, for so many inputs and outputs.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn weight_grad(
    gpu: &dyn Gpu,
    input: &Tensor,
    grad: &Tensor,
    (inputs, outputs): (usize, usize),
) -> Result<Tensor> {
    product(gpu, "linear", &matrix(grad, outputs)?.t()?, &matrix(input, inputs)?)
}

/// `linear::bias_grad`, of rows of this length.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn bias_grad(gpu: &dyn Gpu, grad: &Tensor, columns: usize) -> Result<Tensor> {
    let rows = grad.elem_count().checked_div(columns).unwrap_or(0);
    let pieces = rows.div_ceil(ROWS);
    let [sums] =
        Call::typed("linear_sum_pieces", grad.dtype(), Launch::elements(pieces * columns))?
            .input(grad)
            .output_of(DType::F64, (pieces, columns))
            .size(rows)
            .size(columns)
            .size(ROWS)
            .run(gpu)?;
    let [result] = Call::typed("linear_join_pieces", grad.dtype(), Launch::elements(columns))?
        .input_of(DType::F64, &sums)
        .output(columns)
        .size(pieces)
        .size(columns)
        .run(gpu)?;
    Ok(result)
}

/// The tensor as a contiguous matrix with rows of this length.
fn matrix(tensor: &Tensor, columns: usize) -> candle_core::Result<Tensor> {
    let rows = tensor.elem_count().checked_div(columns).unwrap_or(0);
    tensor.contiguous()?.reshape((rows, columns))
}
