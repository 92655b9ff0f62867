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
    let mask = Mask::new(probability, key)?;
    if is_blank(input) {
        return blank(input.shape(), input.dtype());
    }
    on_cuda!(input => dropout::apply(input, &mask, 0));
    let (device, shape) = (input.device(), input.shape());
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T);
        let scale = T::narrow(mask.scale);
        let mut output = vec![T::zero(); input.len()];
        output.par_chunks_mut(PIECE).zip(input.par_chunks(PIECE)).enumerate().for_each(
            |(piece, (output, input))| {
                let mut stream = key.stream_at((piece * PIECE / 4) as u64);
                for (y, &x) in output.iter_mut().zip(input) {
                    if stream.next_u32() >= mask.threshold {
                        *y = x * scale;
                    }
                }
            },
        );
        Ok(Tensor::from_vec(output, shape, device)?)
    })
}

/// Which elements of a tensor are dropped, and what the others are multiplied by.
#[derive(Debug, Clone, Copy)]
pub struct Mask {
    pub(crate) threshold: u32,
    pub(crate) scale: f64,
    pub(crate) key: Key,
}

impl Mask {
    /// The mask that drops each element with `probability`.
    ///
    /// # Errors
    /// Returns an error if the probability is not in [0, 1).
    pub fn new(probability: f64, key: Key) -> Result<Self> {
        if !(0.0..1.0).contains(&probability) {
            let reason = format!("expected a probability in [0, 1), found {probability}");
            return Err(Error::shape(KERNEL, reason));
        }
        let threshold = (probability * 2f64.powi(32)) as u32;
        Ok(Self { threshold, scale: 1.0 / (1.0 - probability), key })
    }

    /// Applies the mask to neighbouring elements of a tensor, of which this is the `first`.
    pub(crate) fn apply_to<T: Element>(&self, first: usize, values: &mut [T]) {
        let mut stream = self.key.stream_at((first / 4) as u64);
        (0..first % 4).for_each(|_| {
            stream.next_u32();
        });
        let scale = T::narrow(self.scale);
        for value in values {
            *value = if stream.next_u32() >= self.threshold { *value * scale } else { T::zero() };
        }
    }
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
        let mut part = vec![1.0; 50];
        Mask::new(0.3, key).unwrap().apply_to(777, &mut part);
        assert_eq!(part, once[777..827]);
    }
}
