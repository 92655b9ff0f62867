//! The largest magnitude of a tensor.

use candle_core::Tensor;
use num_traits::Zero;
use rayon::prelude::*;

use crate::Result;
use crate::cuda::on_cuda;
use crate::dtype::Element;
use crate::simd_dispatch::on_widest_vectors;
use crate::tensor_io::{by_dtype, read};

const KERNEL: &str = "largest";

/// Elements per parallel task.
const PIECE: usize = 64 * 1024;

/// The largest magnitude; 0 for an empty tensor, and not finite if an element is not.
///
/// # Errors
/// Returns an error if the type or device is not supported.
pub fn largest(input: &Tensor) -> Result<f64> {
    on_cuda!(input => largest::largest(input));
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T);
        let pieces = input.par_chunks(PIECE).map(|piece| {
            let mut largest = [T::zero()];
            largest_in(piece, &mut largest);
            largest[0].wide()
        });
        let larger = |a: f64, b: f64| if a.is_nan() || a > b { a } else { b };
        Ok(pieces.reduce(|| 0.0, larger))
    })
}

on_widest_vectors! {
    fn largest_in<T: Element>(values: &[T], largest: &mut [T; 1]) {
        let mut lanes = [T::zero(); 32];
        let mut take = |lane: usize, value: T| {
            let size = value.abs();
            // A comparison with NaN is false, so a NaN replaces the largest and stays.
            lanes[lane] = if size <= lanes[lane] { lanes[lane] } else { size + lanes[lane] * T::zero() };
        };
        let (chunks, rest) = values.as_chunks::<32>();
        for chunk in chunks {
            for (lane, &value) in chunk.iter().enumerate() {
                take(lane, value);
            }
        }
        for (lane, &value) in rest.iter().enumerate() {
            take(lane, value);
        }
        for lane in lanes {
            largest[0] = if lane <= largest[0] { largest[0] } else { lane + largest[0] * T::zero() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn it_is_the_largest_wherever_it_stands_and_shows_what_is_not_finite() {
        let of = |values: &[f64], dtype| {
            let tensor = Tensor::from_slice(values, values.len(), &Device::Cpu).unwrap();
            largest(&tensor.to_dtype(dtype).unwrap()).unwrap()
        };
        for dtype in [DType::F32, DType::F64] {
            assert_eq!((of(&[], dtype), of(&[0.0, -0.0], dtype)), (0.0, 0.0));
            for count in [1, 31, 33, 100_000] {
                for place in [0, count / 2, count - 1] {
                    let with = |value: f64| {
                        let mut values: Vec<f64> = (0..count).map(|i| (i % 7) as f64).collect();
                        values[place] = value;
                        of(&values, dtype)
                    };
                    assert_eq!(with(-8.5), 8.5);
                    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                        assert!(!with(bad).is_finite(), "{bad} at {place} of {count}");
                    }
                }
            }
        }
    }
}
