//! An orthonormal basis of a matrix's column space, computed on the CPU: a matrix on another device is copied
//! there, and the basis back.

use candle_core::{DType, Device, Tensor};
use ndarray::Array2;
use ndarray_linalg::QRInto;

use crate::tensor_io::read;
use crate::{Error, Result, lapack};

const KERNEL: &str = "orthonormalise";

/// The Q of a thin QR factorisation by Householder reflections: (m,k) for `matrix` (m,k), m >= k,
/// in its type; computes in f64.
///
/// The columns are orthonormal for any rank. If the rank is deficient, the remaining columns (all
/// of them for a zero matrix) complete the basis arbitrarily, but in the same way on each call.
///
/// # Errors
/// Returns an error if there are more columns than rows, an element is not finite, or the type is
/// not supported.
pub fn orthonormalise(matrix: &Tensor) -> Result<Tensor> {
    let (m, k) = matrix.dims2()?;
    if k > m {
        return Err(Error::shape(
            KERNEL,
            format!("at most {m} vectors of {m} elements are orthonormal, {k} found"),
        ));
    }
    let (dtype, device) = (matrix.dtype(), matrix.device());
    if !matches!(dtype, DType::BF16 | DType::F32 | DType::F64) {
        return Err(Error::DType { kernel: KERNEL, found: dtype });
    }
    if k == 0 {
        return Ok(matrix.copy()?);
    }
    let matrix = matrix.to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
    read!(KERNEL; matrix: f64);
    if !matrix.iter().all(|x| x.is_finite()) {
        return Err(Error::NotFinite { kernel: KERNEL, what: "the matrix" });
    }
    lapack::on_this_thread();
    let failed = |reason: String| Error::Lapack { routine: "dgeqrf", reason };
    let matrix =
        Array2::from_shape_vec((m, k), matrix.to_vec()).map_err(|e| failed(e.to_string()))?;
    let (q, _) = matrix.qr_into().map_err(|e| failed(e.to_string()))?;
    let q: Vec<f64> = q.iter().copied().collect();
    Ok(Tensor::from_vec(q, (m, k), &Device::Cpu)?.to_dtype(dtype)?.to_device(device)?)
}
