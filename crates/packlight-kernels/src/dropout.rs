//! Dropout with a mask that is generated again from its key whenever it is needed.

use candle_core::Tensor;
use num_traits::Zero;
use rayon::prelude::*;

use crate::blank::{blank, is_blank};
use crate::cuda::on_cuda;
use crate::dtype::Element;
use crate::rng::Key;
use crate::tensor_io::{by_dtype, read};
use crate::{Error, Result};

const KERNEL: &str = "dropout";

/// Elements per parallel task; a multiple of the four numbers of a generator block.
const PIECE: usize = 16 * 1024;

/// Zeroes each element with `probability` and divides the others by `1 - probability`.
///
/// The gradient is the same function of the output gradient, with the same key.
///
/// # Errors
/// Returns an error if the probability is not in [0, 1), or the type or device is not supported.
pub fn apply(input: &Tensor, probability: f64, key: Key) -> Result<Tensor> {
    if !(0.0..1.0).contains(&probability) {
        return Err(Error::shape(
            KERNEL,
            format!("expected a probability in [0, 1), found {probability}"),
        ));
    }
    if is_blank(input) {
        return blank(input.shape(), input.dtype());
    }
    let threshold = (probability * 2f64.powi(32)) as u32;
    let scale = 1.0 / (1.0 - probability);
    on_cuda!(input => dropout::apply(input, threshold, scale as f32, key));
    let (device, shape) = (input.device(), input.shape());
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T);
        let scale = T::narrow(scale);
        let mut output = vec![T::zero(); input.len()];
        output.par_chunks_mut(PIECE).zip(input.par_chunks(PIECE)).enumerate().for_each(
            |(piece, (output, input))| {
                let mut stream = key.stream_at((piece * PIECE / 4) as u64);
                for (y, &x) in output.iter_mut().zip(input) {
                    if stream.next_u32() >= threshold {
                        *y = x * scale;
                    }
                }
            },
        );
        Ok(Tensor::from_vec(output, shape, device)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Purpose;
    use candle_core::{DType, Device};

    #[test]
    fn keeps_the_mean_and_repeats_its_mask() {
        let ones = Tensor::ones(100_000, DType::F64, &Device::Cpu).unwrap();
        let key = Key::new(1, Purpose::Dropout);
        let once = apply(&ones, 0.3, key).unwrap().to_vec1::<f64>().unwrap();
        assert_eq!(once, apply(&ones, 0.3, key).unwrap().to_vec1::<f64>().unwrap());
        assert_ne!(once, apply(&ones, 0.3, key.step(1)).unwrap().to_vec1::<f64>().unwrap());
        let kept = once.iter().filter(|&&y| y != 0.0).count() as f64 / 1e5;
        assert!((kept - 0.7).abs() < 4.0 * (0.21f64 / 1e5).sqrt(), "{kept}");
        assert!(once.iter().all(|&y| y == 0.0 || (y - 1.0 / 0.7).abs() < 1e-12));
        assert!(apply(&ones, 1.0, key).is_err());
    }
}
