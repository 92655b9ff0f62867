//! The index of the largest element of a row.

use candle_core::Tensor;

use crate::cuda::on_cuda;
use crate::dtype::Element;
use crate::par_vec::build;
use crate::simd_dispatch::on_widest_vectors;
use crate::tensor_io::{by_dtype, read};
use crate::{Error, Result};

const KERNEL: &str = "argmax";

/// Rows per parallel task.
const ROWS: usize = 16;
/// Elements compared at a time, in vector lanes.
const LANES: usize = 16;

/// The index (u32) of the first largest element of each row of (..., n); 0 for a row of NaN.
///
/// # Errors
/// Returns an error if there are no rows of at least one element, or the type or device is not
/// supported.
pub fn argmax(rows: &Tensor) -> Result<Tensor> {
    let Some((&n, leading)) = rows.dims().split_last().filter(|(n, _)| **n > 0) else {
        return Err(Error::shape(KERNEL, format!("expected (..., n), found {:?}", rows.dims())));
    };
    on_cuda!(rows => argmax::argmax(rows, leading));
    let (device, count) = (rows.device(), leading.iter().product());
    by_dtype!(KERNEL, rows, T => {
        read!(KERNEL; rows: T);
        let indices = build(count, ROWS, |piece, indices: &mut [u32]| {
            let rows = rows[piece * ROWS * n..].chunks_exact(n);
            for (index, row) in indices.iter_mut().zip(rows) {
                let top = greatest_of(row);
                *index = row.iter().position(|x| *x == top).unwrap_or(0) as u32;
            }
        });
        Ok(Tensor::from_vec(indices, leading, device)?)
    })
}

on_widest_vectors! {
    fn greatest_of<T: Element>(row: &[T]) -> T {
        greatest(row)
    }
}

/// The largest value, ignoring NaN; minus infinity if there is none.
///
/// Plain loops, so that `on_widest_vectors` compiles all of it.
#[inline(always)]
pub(crate) fn greatest<T: Element>(values: &[T]) -> T {
    let greater = |a: T, b: T| if a > b { a } else { b };
    let mut lanes = [T::neg_infinity(); LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] = greater(chunk[lane], lanes[lane]);
        }
    }
    let mut top = T::neg_infinity();
    for value in lanes {
        top = greater(value, top);
    }
    for &value in rest {
        top = greater(value, top);
    }
    top
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn the_first_of_the_greatest_in_every_row() {
        let mut rows = vec![vec![-3.0f32; 37]; 40];
        for (number, row) in rows.iter_mut().enumerate() {
            row[number * 5 % 37] = 2.0;
            row[36] = if number == 0 { -3.0 } else { 2.0 };
        }
        rows[3] = vec![f32::NAN; 37];
        let expected: Vec<u32> =
            (0..40).map(|number| if number == 3 { 0 } else { number * 5 % 37 }).collect();
        for dtype in [DType::F32, DType::F64] {
            let rows = Tensor::new(rows.clone(), &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
            assert_eq!(argmax(&rows).unwrap().to_vec1::<u32>().unwrap(), expected);
        }
    }

    #[test]
    fn rows_without_elements_are_an_error() {
        let empty = Tensor::zeros((2, 0), DType::F32, &Device::Cpu).unwrap();
        assert!(argmax(&empty).unwrap_err().to_string().contains("expected (..., n)"));
    }
}
