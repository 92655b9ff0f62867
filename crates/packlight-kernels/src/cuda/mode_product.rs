//! [`mode_product`](fn@crate::mode_product::mode_product) on a CUDA device: candle's matrix products, which are
//! cuBLAS's.

use candle_core::Tensor;

use super::Gpu;
use super::product::product;
use crate::Result;

/// Neighbouring elements that make a product of their own worth it; shorter ones are first brought together.
const LONG: usize = 32;

/// `mode_product` of a tensor seen as (outer, d, inner) with a matrix (r,d), of this shape.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn mode_product(
    gpu: &dyn Gpu,
    tensor: &Tensor,
    matrix: &Tensor,
    (outer, length, inner): (usize, usize, usize),
    shape: &[usize],
) -> Result<Tensor> {
    let rows = matrix.dim(0)?;
    if tensor.elem_count() == 0 || rows == 0 {
        return Ok(Tensor::zeros(shape, tensor.dtype(), tensor.device())?);
    }
    let (tensor, matrix) = (tensor.contiguous()?, matrix.contiguous()?);
    let product = if inner == 1 {
        product(gpu, "mode_product", &tensor.reshape((outer, length))?, &matrix.t()?)?
    } else if outer == 1 || inner >= LONG {
        let each = matrix.broadcast_as((outer, rows, length))?;
        product(gpu, "mode_product", &each, &tensor.reshape((outer, length, inner))?)?
    } else {
        let together = tensor.reshape((outer, length, inner))?.transpose(0, 1)?.contiguous()?;
        let product =
            product(gpu, "mode_product", &matrix, &together.reshape((length, outer * inner))?)?;
        product.reshape((rows, outer, inner))?.transpose(0, 1)?.contiguous()?
    };
    Ok(product.reshape(shape)?)
}
