//! [`batched_matmul`](crate::batched_matmul) on a CUDA device: candle's products, which are cuBLAS's.

use candle_core::{D, Tensor};

use super::Gpu;
use super::product::product;
use crate::Result;
use crate::batched_matmul::Matrices;

/// `batched_matmul::products`, of this shape.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn products(
    gpu: &dyn Gpu,
    left: Matrices<'_>,
    right: Matrices<'_>,
    shape: &[usize],
) -> Result<Tensor> {
    Ok(product(gpu, "batched_matmul", &batch(left)?, &batch(right)?)?.reshape(shape)?)
}

/// The matrices with all leading axes as one.
fn batch(matrices: Matrices<'_>) -> candle_core::Result<Tensor> {
    let tensor = matrices.tensor.contiguous()?;
    let [leading @ .., rows, columns] = tensor.dims() else {
        return Ok(tensor);
    };
    let flat = tensor.reshape((leading.iter().product::<usize>(), *rows, *columns))?;
    match matrices.transposed {
        true => flat.transpose(D::Minus1, D::Minus2),
        false => Ok(flat),
    }
}
