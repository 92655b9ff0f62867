//! Sums of squares.

use candle_core::Tensor;
use rayon::prelude::*;

use crate::Result;
use crate::cuda::on_cuda;
use crate::dtype::Element;
use crate::sum::sum_of;
use crate::tensor_io::{by_dtype, read};

const KERNEL: &str = "square";

/// Elements per parallel task.
const PIECE: usize = 16 * 1024;

/// The sum of the squares of all elements, computed in f64, where squares of f32 neither overflow
/// nor underflow.
///
/// # Errors
/// Returns an error if the type or device is not supported.
pub fn sum(tensor: &Tensor) -> Result<f64> {
    on_cuda!(tensor => square::sum(tensor));
    by_dtype!(KERNEL, tensor, T => {
        read!(KERNEL; tensor: T);
        let of_piece = |piece: &[T]| sum_of([piece], |[x]| x.wide() * x.wide());
        let sums: Vec<f64> = tensor.par_chunks(PIECE).map(of_piece).collect();
        Ok(sums.into_iter().sum())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn squares_beyond_f32_count() {
        for size in [1e-30f32, 1.0, 1e30] {
            let x = Tensor::full(-size, (3, 70_000), &Device::Cpu).unwrap();
            let expected = f64::from(size) * f64::from(size) * 210_000.0;
            assert!((sum(&x).unwrap() / expected - 1.0).abs() < 1e-12);
            assert!((sum(&x.t().unwrap()).unwrap() / expected - 1.0).abs() < 1e-12);
        }
    }
}
