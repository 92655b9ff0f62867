//! [`nearest_line`](crate::nearest_line) on a CUDA device; the products are candle's, which are cuBLAS's.

use candle_core::{DType, Tensor};

use super::product::product;
use super::top_k::greatest;
use super::{Call, Gpu, Launch};
use crate::Result;
use crate::nearest_line::check;

/// `nearest_line::nearest`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn nearest(gpu: &dyn Gpu, rows: &Tensor, lines: &Tensor) -> Result<(Tensor, Tensor)> {
    let ((t, n), (k, _)) = (rows.dims2()?, lines.dims2()?);
    let dtype = rows.dtype();
    let lines = lines.to_dtype(DType::F32)?.contiguous()?;
    let [squares] = Call::plain("nearest_line_squares", Launch::warps(k))
        .input_of(DType::F32, &lines)
        .output_of(DType::F32, k)
        .size(k)
        .size(n)
        .run(gpu)?;
    let products =
        product(gpu, "nearest_line", &rows.to_dtype(DType::F32)?.contiguous()?, &lines.t()?)?;
    let [indices, factors] = Call::typed("nearest_line_longest", dtype, Launch::warps(t))?
        .input_of(DType::F32, &products)
        .input_of(DType::F32, &squares)
        .output_of(DType::U32, t)
        .output(t)
        .size(t)
        .size(k)
        .run(gpu)?;
    Ok((indices, factors))
}

/// `nearest_line::restore`.
///
/// # Errors
/// Returns an error if an index is not below the number of lines, the type is not supported, or the device
/// fails.
pub fn restore(
    gpu: &dyn Gpu,
    lines: &Tensor,
    indices: &Tensor,
    factors: &Tensor,
) -> Result<Tensor> {
    let ((k, n), t) = (lines.dims2()?, indices.elem_count());
    check(greatest(indices)?.as_slice(), k)?;
    let [rows] = Call::typed("nearest_line_restore", lines.dtype(), Launch::elements(t * n))?
        .input(lines)
        .input_of(DType::U32, indices)
        .input(factors)
        .output((t, n))
        .size(t * n)
        .size(n)
        .run(gpu)?;
    Ok(rows)
}

/// `nearest_line::gather`: a product with the matrix that has each row's factor at its line.
///
/// # Errors
/// Returns an error if an index is not below `lines`, the type is not supported, or the device fails.
pub fn gather(
    gpu: &dyn Gpu,
    values: &Tensor,
    indices: &Tensor,
    factors: &Tensor,
    lines: usize,
) -> Result<Tensor> {
    check(greatest(indices)?.as_slice(), lines)?;
    let t = indices.elem_count();
    let [matrix] = Call::typed("nearest_line_spread", values.dtype(), Launch::elements(t * lines))?
        .input_of(DType::U32, indices)
        .input(factors)
        .output((t, lines))
        .size(t * lines)
        .size(lines)
        .run(gpu)?;
    product(gpu, "nearest_line", &matrix.t()?, &values.contiguous()?)
}
