//! Random rounding to multiples of a step, which keeps the mean.

use candle_core::Tensor;
use num_traits::Zero;
use rayon::prelude::*;

use crate::Result;
use crate::cuda::on_cuda;
use crate::dtype::Element;
use crate::rng::Key;
use crate::sum::sum_of;
use crate::tensor_io::{by_dtype, read};

const KERNEL: &str = "dither";

/// Elements per parallel task; a multiple of 4, since random numbers come in fours.
const PIECE: usize = 8192;

/// `step * floor(x / step + u)` for each element, with `u` uniform in [0, 1): the multiple of
/// `step` below or above `x`, with probabilities that make `x` the mean.
///
/// # Errors
/// Returns an error if the type or device is not supported.
pub fn dither(input: &Tensor, step: f64, key: Key) -> Result<Tensor> {
    on_cuda!(input => dither::dither(input, step, key));
    let (device, shape) = (input.device(), input.shape());
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T);
        let mut output = vec![T::zero(); input.len()];
        output.par_chunks_mut(PIECE).zip(input.par_chunks(PIECE)).enumerate().for_each(
            |(piece, (output, input))| {
                let mut stream = key.stream_at((piece * PIECE / 4) as u64);
                for (y, x) in output.iter_mut().zip(input) {
                    let u = f64::from(stream.next_u32()) / 2f64.powi(32);
                    *y = T::narrow(floor(x.wide() / step + u) * step);
                }
            },
        );
        Ok(Tensor::from_vec(output, shape, device)?)
    })
}

/// `x.floor()`, without the library call that a baseline processor needs.
fn floor(x: f64) -> f64 {
    /// Leaves no room for a fraction in what is added to it.
    const WHOLE: f64 = 1.5 * (1u64 << 52) as f64;
    if x.abs() < (1u64 << 51) as f64 {
        let nearest = (x + WHOLE) - WHOLE;
        nearest - f64::from(u8::from(nearest > x))
    } else {
        x.floor()
    }
}

/// The population standard deviation of all elements; 0 if there are none.
///
/// # Errors
/// Returns an error if the type or device is not supported.
pub fn deviation(input: &Tensor) -> Result<f64> {
    on_cuda!(input => dither::deviation(input));
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T);
        let centre = mean(input, |x| x);
        Ok(mean(input, |x| (x - centre) * (x - centre)).sqrt())
    })
}

fn mean<T: Element>(values: &[T], f: impl Fn(f64) -> f64 + Sync) -> f64 {
    let of_piece = |piece: &[T]| sum_of([piece], |[x]| f(x.wide()));
    let sums: Vec<f64> = values.par_chunks(PIECE).map(of_piece).collect();
    sums.iter().sum::<f64>() / values.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floor_is_floor() {
        let whole = [0.0, 1.0, -1.0, 7.0, 1e15, -1e15, 4e15, 5e15 + 1.0, 1e300];
        let near = whole.into_iter().flat_map(|x: f64| [x.next_down(), x, x.next_up(), x + 0.5]);
        for x in near.chain([f64::INFINITY, f64::NEG_INFINITY]) {
            assert_eq!(floor(x), x.floor(), "{x}");
        }
        assert!(floor(f64::NAN).is_nan());
    }
}
