//! Gaussian random matrices, generated from a key.

use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;

use crate::dtype::Element;
use crate::rng::Key;
use crate::{Error, Result};

const KERNEL: &str = "gaussian";

/// Numbers per parallel task.
const PIECE: usize = 4096;

/// Independent normal numbers of mean 0 and this standard deviation, on the CPU: element i of the
/// row-major tensor is the first normal of the key's stream from its block i on. Those of bf16 are those of
/// f32, rounded.
///
/// # Errors
/// Returns an error if the type is none of bf16, f32 and f64.
pub fn gaussian(key: Key, shape: &[usize], dtype: DType, deviation: f64) -> Result<Tensor> {
    match dtype {
        DType::BF16 => Ok(draw::<f32>(key, shape, deviation)?.to_dtype(DType::BF16)?),
        DType::F32 => draw::<f32>(key, shape, deviation),
        DType::F64 => draw::<f64>(key, shape, deviation),
        found => Err(Error::DType { kernel: KERNEL, found }),
    }
}

fn draw<T: Element>(key: Key, shape: &[usize], deviation: f64) -> Result<Tensor> {
    let mut numbers = vec![T::zero(); shape.iter().product()];
    numbers.par_chunks_mut(PIECE).enumerate().for_each(|(piece, numbers)| {
        // A normal takes the four words of one block.
        let mut stream = key.stream_at((piece * PIECE) as u64);
        for number in numbers {
            *number = T::narrow(deviation * stream.normal());
        }
    });
    Ok(Tensor::from_vec(numbers, shape, &Device::Cpu)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Purpose;

    #[test]
    fn each_element_has_its_place_in_the_stream() {
        let key = Key::new(4, Purpose::Sample);
        let drawn = gaussian(key, &[3, PIECE], DType::F64, 0.5).unwrap();
        let drawn = drawn.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        for i in [0, 1, PIECE, 3 * PIECE - 1] {
            assert_eq!(drawn[i], 0.5 * key.stream_at(i as u64).normal());
        }
        let variance = drawn.iter().map(|x| x * x).sum::<f64>() / drawn.len() as f64;
        assert!((variance - 0.25).abs() < 4.0 * 0.25 * (2.0 / drawn.len() as f64).sqrt());
    }

    #[test]
    fn numbers_of_bf16_are_those_of_f32_rounded() {
        let of = |dtype| gaussian(Key::new(5, Purpose::Sample), &[50], dtype, 2.0).unwrap();
        let found = of(DType::BF16);
        assert_eq!(found.dtype(), DType::BF16);
        let wide = |x: &Tensor| x.to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap();
        for (rounded, exact) in wide(&found).iter().zip(wide(&of(DType::F32))) {
            assert!((rounded - exact).abs() <= exact.abs() / 256.0, "{rounded} {exact}");
        }
        assert!(matches!(
            gaussian(Key::new(5, Purpose::Sample), &[2], DType::U8, 1.0),
            Err(Error::DType { found: DType::U8, .. })
        ));
    }
}
