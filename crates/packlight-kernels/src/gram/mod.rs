//! Gram matrices of the unfoldings of a tensor.

mod products;
mod runs;

use candle_core::Tensor;

use crate::conv2d::simd::RUN;
use crate::tensor_io::{by_dtype, read};
use crate::unfolding::{Unfolding, lengths};
use crate::{Error, Result};

const KERNEL: &str = "gram";

/// Columns whose products are summed in the tensor's own type; such sums are added up in f64.
const COLUMNS: usize = 1024;
/// Pieces of work below which the columns are divided, too.
const PIECES: usize = 16;

/// The Gram matrix `X X^T` (d,d), in f64, of the unfolding `X` of `tensor` along `axis`, of length
/// d: element (i,j) is the inner product of the slices i and j.
///
/// Products are summed in the tensor's type over at most 1024 columns, such sums in f64, so that
/// rounding does not grow with the size of the tensor: in f32 an element is off by about 1e-6 of the
/// product of the two slices' norms, and eigenvalues below that share of their sum are rounding.
/// Elements of an f32 tensor below 1e-19 count as 0, since their squares vanish.
///
/// # Errors
/// If there is no such axis, if an element is not finite or too large to be squared, or type or
/// device have no kernel.
pub fn gram(tensor: &Tensor, axis: usize) -> Result<Tensor> {
    let lengths = lengths(KERNEL, tensor.dims(), axis)?;
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
        // An element that is not finite, or has no finite square, shows in its slice's own.
        if !result.iter().step_by(lengths.1 + 1).all(|square| square.is_finite()) {
            return Err(Error::NotFinite { kernel: KERNEL, what: "an element, or its square," });
        }
        Ok(Tensor::from_vec(result, (lengths.1, lengths.1), device)?)
    })
}

/// Copies what is above the diagonal to below it.
fn mirror(matrix: &mut [f64], size: usize) {
    for i in 0..size {
        for j in 0..i {
            matrix[i * size + j] = matrix[j * size + i];
        }
    }
}
