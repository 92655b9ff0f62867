//! Eigenvalues and leading eigenvectors of a symmetric matrix, and the rank that an energy needs.
//!
//! With the Gram matrix of an unfolding ([`crate::gram`]) this gives the truncated SVD and HOSVD:
//! the eigenvectors are the left singular vectors, the eigenvalues the squared singular values.
//! Nguyen et al., NeurIPS 2024.
//!
//! A matrix on another device is copied to the CPU, and the vectors back: it is small.

use candle_core::{DType, Device, Tensor};

use crate::lapack::Tridiagonal;
use crate::tensor_io::read;
use crate::{Error, Result};

const KERNEL: &str = "symmetric_eigen";

/// Eigenvalues and eigenvectors, in descending order of the eigenvalues.
#[derive(Debug, Clone)]
pub struct Eigen {
    /// All n eigenvalues.
    pub values: Vec<f64>,
    /// The leading k eigenvectors: the columns, orthonormal, of a matrix (n,k) in f64.
    pub vectors: Tensor,
}

/// All eigenvalues of a symmetric `matrix` (n,n), and its leading eigenvectors. `keep` returns
/// their number, given the eigenvalues; at most n are computed. Computes in f64.
///
/// The other eigenvectors are not fully computed: keeping 64 of 512 takes two thirds of the time.
/// Only the triangle above the diagonal is read. A vector's sign is arbitrary, but the same on each
/// call.
///
/// # Errors
/// Returns an error if the matrix is not square or has an element that is not finite, or `keep`
/// fails, or the type is not supported.
pub fn symmetric_eigen(
    matrix: &Tensor,
    keep: impl FnOnce(&[f64]) -> Result<usize>,
) -> Result<Eigen> {
    let (n, columns) = matrix.dims2()?;
    if n != columns {
        return Err(Error::shape(
            KERNEL,
            format!("expected a square matrix, found ({n}, {columns})"),
        ));
    }
    if !matches!(matrix.dtype(), DType::F32 | DType::F64) {
        return Err(Error::DType { kernel: KERNEL, found: matrix.dtype() });
    }
    let device = matrix.device();
    let matrix = matrix.to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
    read!(KERNEL; matrix: f64);
    if !matrix.iter().all(|x| x.is_finite()) {
        return Err(Error::NotFinite { kernel: KERNEL, what: "the matrix" });
    }
    let scale = power_of_two(matrix);
    let mut reduced = Tridiagonal::new(matrix.iter().map(|x| x / scale).collect(), n)?;
    let (mut values, mut ascending) = reduced.eigen()?;
    values.reverse();
    values.iter_mut().for_each(|value| *value *= scale);
    let kept = keep(&values)?.min(n);
    ascending.drain(..(n - kept) * n);
    reduced.turn_back(&mut ascending)?;
    let mut vectors = vec![0.0; n * kept];
    for (column, vector) in ascending.chunks_exact(n.max(1)).rev().enumerate() {
        for (row, value) in vector.iter().enumerate() {
            vectors[row * kept + column] = *value;
        }
    }
    Ok(Eigen { values, vectors: Tensor::from_vec(vectors, (n, kept), device)? })
}

/// The largest power of two up to the largest magnitude. Dividing by it is exact, and then squares
/// neither overflow nor underflow.
fn power_of_two(matrix: &[f64]) -> f64 {
    let top = matrix.iter().fold(0.0f64, |top, x| top.max(x.abs()));
    if top < f64::MIN_POSITIVE { 1.0 } else { top.log2().floor().exp2() }
}

/// The smallest k for which the first k of the descending `eigenvalues` sum up to at least
/// `energy` times the sum of all, at least 1. Negative eigenvalues, which are rounding errors in a Gram
/// matrix, count as 0.
///
/// For an energy of 1 or more, k is the number of positive eigenvalues.
///
/// # Errors
/// Returns an error if an eigenvalue or `energy` is not finite, or there is no eigenvalue.
pub fn rank_for_energy(eigenvalues: &[f64], energy: f64) -> Result<usize> {
    if !energy.is_finite() {
        return Err(Error::NotFinite { kernel: KERNEL, what: "the energy to keep" });
    }
    if !eigenvalues.iter().all(|value| value.is_finite()) {
        return Err(Error::NotFinite { kernel: KERNEL, what: "an eigenvalue" });
    }
    if eigenvalues.is_empty() {
        return Err(Error::shape(KERNEL, "expected at least one eigenvalue, found none"));
    }
    let positive = eigenvalues.iter().take_while(|value| **value > 0.0);
    let rank = positive.clone().count().max(1);
    if energy >= 1.0 {
        return Ok(rank);
    }
    let total: f64 = positive.clone().sum();
    let mut sum = 0.0;
    let below = positive.take_while(|value| {
        sum += **value;
        sum < energy * total
    });
    Ok((below.count() + 1).min(rank))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks() {
        let rank = |values: &[f64], energy| rank_for_energy(values, energy).unwrap();
        let values = [4.0, 2.0, 1.0, 1.0, 0.0, -1e-9];
        assert_eq!(rank(&values, 0.5), 1);
        assert_eq!(rank(&values, 0.5001), 2);
        assert_eq!(rank(&values, 0.75), 2);
        assert_eq!(rank(&values, 0.876), 4);
        assert_eq!(rank(&values, 1.0), 4);
        assert_eq!(rank(&values, 2.0), 4);
        assert_eq!(rank(&values, 0.0), 1);
        assert_eq!(rank(&[1.0, 1e-20], 0.999_999), 1);
        assert_eq!(rank(&[1.0, 1e-20], 1.0), 2);
        assert_eq!(rank(&[0.0, 0.0], 0.9), 1);
        assert_eq!(rank(&[0.0, 0.0], 1.0), 1);
        for bad in [f64::NAN, f64::INFINITY] {
            assert!(matches!(rank_for_energy(&[bad, 1.0], 0.5), Err(Error::NotFinite { .. })));
            assert!(matches!(rank_for_energy(&[1.0], bad), Err(Error::NotFinite { .. })));
        }
        assert!(rank_for_energy(&[], 0.5).is_err());
    }
}
