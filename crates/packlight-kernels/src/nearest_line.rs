//! Rows of a matrix approximated by multiples of the nearest of a few given rows.
//!
//! Each given row spans a line through the origin. A row's nearest line is the one with the largest
//! absolute cosine, and its factor gives the closest point on that line.

use candle_core::Tensor;
use num_traits::Zero;
use rayon::prelude::*;

use crate::cuda::on_cuda;
use crate::dtype::Element;
use crate::matmul::{Matrix, multiply};
use crate::sum::sum_of;
use crate::tensor_io::{by_dtype, read};
use crate::{Error, Result};

const KERNEL: &str = "nearest_line";

/// Rows per parallel task.
const ROWS: usize = 64;

/// For each of `rows` (t,n) the index (t), u32, of the nearest of `lines` (k,n), k > 0, and the
/// factor (t) of the closest point on it. Among equally near lines the first is taken.
///
/// # Errors
/// Returns an error if the shapes do not fit, or the type or device is not supported.
pub fn nearest(rows: &Tensor, lines: &Tensor) -> Result<(Tensor, Tensor)> {
    let ((t, n), (k, width)) = (rows.dims2()?, lines.dims2()?);
    if width != n || k == 0 || u32::try_from(k).is_err() {
        return Err(misfit(format!("expected lines (k, {n}), found {:?}", lines.dims())));
    }
    on_cuda!(rows => nearest_line::nearest(rows, lines));
    let device = rows.device();
    by_dtype!(KERNEL, rows, T => {
        read!(KERNEL; rows: T, lines: T);
        let squares: Vec<T> = (0..k)
            .map(|j| T::narrow(sum_of([&lines[j * n..][..n]], |[x]| x.wide() * x.wide())))
            .collect();
        let scales: Vec<T> = squares
            .iter()
            .map(|&square| if square > T::zero() { square.sqrt().recip() } else { T::zero() })
            .collect();
        let lines = Matrix::row_major(lines, k, n).transposed();
        let (mut indices, mut factors) = (vec![0u32; t], vec![T::zero(); t]);
        let pieces = indices.par_chunks_mut(ROWS).zip(factors.par_chunks_mut(ROWS)).enumerate();
        pieces.for_each_init(Vec::new, |products, (piece, (indices, factors))| {
            let count = indices.len();
            products.resize(count * k, T::zero());
            let start = piece * ROWS * n;
            let rows = Matrix::row_major(&rows[start..start + count * n], count, n);
            multiply(products, k, false, rows, lines);
            for ((index, factor), products) in
                indices.iter_mut().zip(factors).zip(products.chunks_exact(k))
            {
                let best = longest(products, &scales);
                let square = squares[best];
                *index = best as u32;
                *factor = if square > T::zero() { products[best] / square } else { products[best] };
            }
        });
        Ok((Tensor::from_vec(indices, t, device)?, Tensor::from_vec(factors, t, device)?))
    })
}

/// The index of the largest product by size, each scaled to its line's unit vector.
fn longest<T: Element>(products: &[T], scales: &[T]) -> usize {
    let mut best = (0, T::neg_infinity());
    for (j, (&product, &scale)) in products.iter().zip(scales).enumerate() {
        let length = (product * scale).abs();
        if length > best.1 {
            best = (j, length);
        }
    }
    best.0
}

/// The rows (t,n) that `indices` (t), u32, and `factors` (t) give from `lines` (k,n).
///
/// # Errors
/// Returns an error if the shapes do not fit, an index is not below k, or the type or device is not
/// supported.
pub fn restore(lines: &Tensor, indices: &Tensor, factors: &Tensor) -> Result<Tensor> {
    let ((k, n), t) = (lines.dims2()?, lengths(indices, factors)?);
    on_cuda!(lines => nearest_line::restore(lines, indices, factors));
    let device = lines.device();
    by_dtype!(KERNEL, lines, T => {
        read!(KERNEL; lines: T, factors: T, indices: u32);
        check(indices, k)?;
        let mut rows = vec![T::zero(); t * n];
        rows.par_chunks_mut(n.max(1)).zip(indices.par_iter().zip(factors)).for_each(
            |(row, (&index, &factor))| {
                let line = &lines[index as usize * n..][..n];
                row.iter_mut().zip(line).for_each(|(x, &y)| *x = factor * y);
            },
        );
        Ok(Tensor::from_vec(rows, (t, n), device)?)
    })
}

/// For each of `lines` lines the sum (lines,m) of the rows of `values` (t,m) that are nearest to
/// it, each by its factor: the product of `values` with the transposed [`restore`] for unit lines.
///
/// # Errors
/// Returns an error if the shapes do not fit, an index is not below `lines`, or the type or device
/// is not supported.
pub fn gather(values: &Tensor, indices: &Tensor, factors: &Tensor, lines: usize) -> Result<Tensor> {
    let ((rows, m), t) = (values.dims2()?, lengths(indices, factors)?);
    if rows != t {
        return Err(misfit(format!("expected values ({t}, ...), found {:?}", values.dims())));
    }
    on_cuda!(values => nearest_line::gather(values, indices, factors, lines));
    let device = values.device();
    by_dtype!(KERNEL, values, T => {
        read!(KERNEL; values: T, factors: T, indices: u32);
        check(indices, lines)?;
        let mut members = vec![Vec::new(); lines];
        for (row, &index) in indices.iter().enumerate() {
            members[index as usize].push(row);
        }
        let mut sums = vec![T::zero(); lines * m];
        sums.par_chunks_mut(m.max(1)).zip(&members).for_each(|(sum, members)| {
            for &row in members {
                let (factor, values) = (factors[row], &values[row * m..][..m]);
                sum.iter_mut().zip(values).for_each(|(sum, &value)| *sum += factor * value);
            }
        });
        Ok(Tensor::from_vec(sums, (lines, m), device)?)
    })
}

fn lengths(indices: &Tensor, factors: &Tensor) -> Result<usize> {
    match (indices.dims1()?, factors.dims1()?) {
        (t, other) if t == other => Ok(t),
        (t, other) => {
            Err(misfit(format!("expected {t} factors, one for each index, found {other}")))
        }
    }
}

pub(crate) fn check(indices: &[u32], lines: usize) -> Result<()> {
    match indices.iter().find(|&&index| index as usize >= lines) {
        Some(index) => Err(misfit(format!("index {index} is not below {lines}"))),
        None => Ok(()),
    }
}

fn misfit(reason: String) -> Error {
    Error::shape(KERNEL, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn tensor<const N: usize>(rows: [[f64; 2]; N]) -> Tensor {
        Tensor::new(&rows, &Device::Cpu).unwrap()
    }

    #[test]
    fn rows_find_their_line() {
        let lines = tensor([[0.0, 0.0], [2.0, 0.0], [1.0, 1.0]]);
        let rows = tensor([[1.0, 0.1], [-3.0, -3.0], [0.0, 0.0], [f64::NAN, 1.0]]);
        let (indices, factors) = nearest(&rows, &lines).unwrap();
        assert_eq!(indices.to_vec1::<u32>().unwrap(), [1, 2, 0, 0]);
        let found = factors.to_vec1::<f64>().unwrap();
        assert_eq!(found[..3], [0.5, -3.0, 0.0]);
        assert!(found[3].is_nan());

        let (indices, factors) =
            (indices.narrow(0, 0, 3).unwrap(), factors.narrow(0, 0, 3).unwrap());
        let restored = restore(&lines, &indices, &factors).unwrap().to_vec2::<f64>().unwrap();
        assert_eq!(restored, [[1.0, 0.0], [-3.0, -3.0], [0.0, 0.0]]);
        let sums = gather(&tensor([[4.0, 0.0], [1.0, 2.0], [9.0, 9.0]]), &indices, &factors, 3);
        assert_eq!(sums.unwrap().to_vec2::<f64>().unwrap(), [[0.0, 0.0], [2.0, 0.0], [-3.0, -6.0]]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let rows = tensor([[1.0, 2.0]]);
        assert!(nearest(&rows, &rows.narrow(1, 0, 1).unwrap()).is_err());
        assert!(nearest(&rows, &rows.narrow(0, 0, 0).unwrap()).is_err());
        let (index, factor) =
            (Tensor::new(&[7u32], &Device::Cpu), Tensor::new(&[1.0], &Device::Cpu));
        let error = restore(&rows, &index.unwrap(), &factor.unwrap()).unwrap_err().to_string();
        assert!(error.contains("7 is not below 1"), "{error}");
    }
}
