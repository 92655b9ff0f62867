//! Fidelity metrics, one file each, over flattened tensors.
//!
//! All accumulate in f64 in the order of the elements, so that the same tensors give the same bits.
//! An undefined metric, because the reference is zero or a value is not finite, is `None`, never 0
//! or 1.

pub mod bias_and_variance;
pub mod cosine;
pub mod errors;
pub mod learning_indicator;
pub mod norm_ratio;
pub mod relative_error;
pub mod snr;

mod distribution;

pub use bias_and_variance::Scatter;
pub use cosine::cosine;
pub use distribution::distribution;
pub use errors::Errors;
pub use learning_indicator::{Rows, learning_indicator};
pub use norm_ratio::norm_ratio;
pub use relative_error::relative_error;
pub use snr::snr_db;

use candle_core::{DType, Tensor};
use packlight_record::Fidelity;

use crate::{Error, Result};

/// How close `compressed` is to `exact`: all gradient metrics of one parameter.
///
/// # Errors
/// Returns an error if the shapes differ or a tensor cannot be read.
pub fn fidelity(exact: &Tensor, compressed: &Tensor) -> Result<Fidelity> {
    if exact.dims() != compressed.dims() {
        return Err(Error::Shape {
            what: "gradients".into(),
            expected: exact.dims().to_vec(),
            found: compressed.dims().to_vec(),
        });
    }
    Ok(fidelity_of(&values(exact)?, &values(compressed)?))
}

/// How close the values of `compressed` are to those of `exact`.
pub(crate) fn fidelity_of(exact: &[f64], compressed: &[f64]) -> Fidelity {
    Fidelity {
        cosine: cosine(exact, compressed),
        relative_error: relative_error(exact, compressed),
        norm_ratio: norm_ratio(exact, compressed),
        snr_db: snr_db(exact, compressed),
        exact_norm: norm(exact),
    }
}

/// The elements of a tensor in row-major order, as f64.
pub(crate) fn values(tensor: &Tensor) -> Result<Vec<f64>> {
    Ok(tensor.flatten_all()?.to_dtype(DType::F64)?.to_vec1()?)
}

/// Euclidean norm.
pub(crate) fn norm(x: &[f64]) -> f64 {
    dot(x, x).sqrt()
}

/// Euclidean norm of `x - y`.
pub(crate) fn distance(x: &[f64], y: &[f64]) -> f64 {
    squared_distance(x, y).sqrt()
}

/// Its square.
pub(crate) fn squared_distance(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| (x - y) * (x - y)).sum()
}

/// Inner product.
pub(crate) fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

/// `numerator / reference`; `None` unless the reference is positive and finite and the result finite.
pub(crate) fn ratio(numerator: f64, reference: f64) -> Option<f64> {
    let defined = reference > 0.0 && reference.is_finite();
    defined.then(|| numerator / reference).filter(|r| r.is_finite())
}
