//! Batched matrix products over any leading axes.

use candle_core::Tensor;

use crate::blank::{blank, is_blank};
use crate::cuda::on_cuda;
use crate::matmul::{Matrix, write_product};
use crate::par_vec::write;
use crate::tensor_io::{by_dtype, read};
use crate::{Error, Result};

const KERNEL: &str = "matmul";

/// A tensor (..., rows, columns) of matrices, as it is or transposed.
#[derive(Debug, Clone, Copy)]
pub struct Matrices<'a> {
    pub(crate) tensor: &'a Tensor,
    pub(crate) transposed: bool,
}

impl<'a> Matrices<'a> {
    /// The matrices as they are.
    pub fn plain(tensor: &'a Tensor) -> Self {
        Self { tensor, transposed: false }
    }

    /// The transposed matrices.
    pub fn transposed(tensor: &'a Tensor) -> Self {
        Self { tensor, transposed: true }
    }

    /// Rows and columns of the operand.
    fn size(&self) -> Option<(usize, usize)> {
        match *self.tensor.dims() {
            [.., rows, columns] if self.transposed => Some((columns, rows)),
            [.., rows, columns] => Some((rows, columns)),
            _ => None,
        }
    }

    fn note(&self) -> &'static str {
        if self.transposed { " (transposed)" } else { "" }
    }

    fn leading(&self) -> &'a [usize] {
        let dims = self.tensor.dims();
        &dims[..dims.len().saturating_sub(2)]
    }
}

/// The products (..., m, n) of matrices (..., m, k) and (..., k, n) with the same leading axes.
///
/// # Errors
/// Returns an error if the shapes do not fit, or the type or device is not supported.
pub fn products(left: Matrices<'_>, right: Matrices<'_>) -> Result<Tensor> {
    let sizes = left.size().zip(right.size());
    let fit = sizes.filter(|((_, k), (l, _))| k == l && left.leading() == right.leading());
    let Some(((m, k), (_, n))) = fit else {
        return Err(Error::shape(
            KERNEL,
            format!(
                "matrices {:?}{} and {:?}{} do not fit",
                left.tensor.dims(),
                left.note(),
                right.tensor.dims(),
                right.note()
            ),
        ));
    };
    let shape = [left.leading(), &[m, n]].concat();
    if is_blank(left.tensor) {
        return blank(shape, left.tensor.dtype());
    }
    on_cuda!(left.tensor => batched_matmul::products(left, right, &shape));
    let device = left.tensor.device();
    let (of_left, of_right) = (left.tensor, right.tensor);
    by_dtype!(KERNEL, of_left, T => {
        read!(KERNEL; of_left: T, of_right: T);
        let result = write(shape.iter().product(), m * n, |elements, result| {
            let number = elements.start / (m * n);
            let a = &of_left[number * m * k..(number + 1) * m * k];
            let b = &of_right[number * k * n..(number + 1) * k * n];
            let oriented = |data, rows, columns, transposed| match transposed {
                true => Matrix::row_major(data, columns, rows).transposed(),
                false => Matrix::row_major(data, rows, columns),
            };
            let a = oriented(a, m, k, left.transposed);
            write_product(result, a, oriented(b, k, n, right.transposed));
        });
        Ok(Tensor::from_vec(result, shape, device)?)
    })
}
