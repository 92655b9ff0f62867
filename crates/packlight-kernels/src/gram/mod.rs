//! Gram matrices of the unfoldings of a tensor.

mod products;
mod runs;

use candle_core::Tensor;

use crate::conv2d::simd::RUN;
use crate::cuda::on_cuda;
use crate::tensor_io::{by_dtype, read};
use crate::unfolding::{Unfolding, lengths};
use crate::{Error, Result};

const KERNEL: &str = "gram";

/// Columns summed in the tensor's own type; these sums are added up in f64.
pub(crate) const COLUMNS: usize = 1024;
/// With fewer tasks than this, the columns are divided as well.
const PIECES: usize = 16;

/// The Gram matrix `X X^T` (d,d), in f64, of the unfolding `X` of `tensor` along `axis`, of length
/// d: element (i,j) is the inner product of the slices i and j.
///
/// Products are summed in the tensor's type over at most 1024 columns, and these sums in f64, so
/// that rounding errors do not grow with the tensor's size. In f32 an element's error is about 1e-6
/// of the product of the two slices' norms, and eigenvalues below that fraction of their sum are
/// rounding errors. Elements of an f32 tensor below 1e-19 count as 0, since their squares
/// underflow.
///
/// # Errors
/// Returns an error if there is no such axis, if an element is not finite or too large to be
/// squared, or the type or device is not supported.
pub fn gram(tensor: &Tensor, axis: usize) -> Result<Tensor> {
    let lengths = lengths(KERNEL, tensor.dims(), axis)?;
    on_cuda!(tensor => gram::gram(tensor, lengths));
    let device = tensor.device();
    by_dtype!(KERNEL, tensor, T => {
        read!(KERNEL; tensor: T);
        let unfolding = Unfolding::new(tensor, lengths);
        let in_runs = unfolding.inner.is_multiple_of(RUN) && unfolding.rows >= runs::ROWS;
        let mut result = if in_runs {
            runs::above_diagonal(&unfolding)
        } else {
            products::above_diagonal(&unfolding)
        };
        mirror(&mut result, unfolding.rows);
        // If an element or its square is not finite, its slice's diagonal element is not finite.
        if !result.iter().step_by(lengths.1 + 1).all(|square| square.is_finite()) {
            return Err(not_finite());
        }
        Ok(Tensor::from_vec(result, (lengths.1, lengths.1), device)?)
    })
}

pub(crate) fn not_finite() -> Error {
    Error::NotFinite { kernel: KERNEL, what: "an element, or its square," }
}

/// Copies the triangle above the diagonal to the one below.
fn mirror(matrix: &mut [f64], size: usize) {
    for i in 0..size {
        for j in 0..i {
            matrix[i * size + j] = matrix[j * size + i];
        }
    }
}
