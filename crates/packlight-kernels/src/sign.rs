//! Signs in one bit per element: +1 if it is positive, otherwise -1.

use candle_core::{DType, Device, Shape, Tensor};
use rayon::prelude::*;

use crate::cuda::on_cuda;
use crate::dtype::Element;
use crate::tensor_io::{by_dtype, check_finite, read};
use crate::{Error, Result};

const KERNEL: &str = "sign";

/// Bytes of signs per parallel task.
const PIECE: usize = 4096;

/// The signs of `input`, eight per byte (u8), padded to whole 32-bit words.
///
/// # Errors
/// Returns an error if an element is not finite, or the type or device is not supported.
pub fn pack(input: &Tensor) -> Result<Tensor> {
    on_cuda!(input => sign::pack(input));
    let device = input.device();
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T);
        check_finite(KERNEL, input)?;
        let mut signs = vec![0u8; input.len().div_ceil(32) * 4];
        signs.par_chunks_mut(PIECE).zip(input.par_chunks(8 * PIECE)).for_each(|(signs, input)| {
            for (byte, input) in signs.iter_mut().zip(input.chunks(8)) {
                let bits = input.iter().enumerate();
                *byte = bits.fold(0, |byte, (bit, &x)| byte | u8::from(x.wide() > 0.0) << bit);
            }
        });
        let bytes = signs.len();
        Ok(Tensor::from_vec(signs, bytes, device)?)
    })
}

/// `magnitude` times each sign from [`pack`], as a tensor of `shape` and `dtype`.
///
/// # Errors
/// Returns an error if the sizes do not fit, or the type or device is not supported.
pub fn unpack(signs: &Tensor, magnitude: f64, shape: &Shape, dtype: DType) -> Result<Tensor> {
    let count = shape.elem_count();
    if signs.elem_count() != count.div_ceil(32) * 4 {
        let reason = format!("{} bytes of signs for {count} elements", signs.elem_count());
        return Err(Error::shape(KERNEL, reason));
    }
    on_cuda!(signs => sign::unpack(signs, magnitude, shape, dtype));
    let like = Tensor::zeros(0, dtype, &Device::Cpu)?;
    let device = signs.device();
    by_dtype!(KERNEL, like, T => {
        read!(KERNEL; signs: u8);
        let (plus, minus) = (T::narrow(magnitude), T::narrow(-magnitude));
        let mut output = vec![minus; count];
        output.par_chunks_mut(8 * PIECE).zip(signs.par_chunks(PIECE)).for_each(|(output, signs)| {
            for (output, byte) in output.chunks_mut(8).zip(signs) {
                for (bit, y) in output.iter_mut().enumerate() {
                    *y = if byte >> bit & 1 == 1 { plus } else { minus };
                }
            }
        });
        Ok(Tensor::from_vec(output, shape, device)?)
    })
}

/// `input` plus `magnitude` times its signs.
///
/// # Errors
/// Returns an error if the type or device is not supported.
pub fn add(input: &Tensor, magnitude: f64) -> Result<Tensor> {
    on_cuda!(input => sign::add(input, magnitude));
    let (device, shape) = (input.device(), input.shape());
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T);
        let magnitude = T::narrow(magnitude);
        let mut output = input.to_vec();
        output.par_chunks_mut(8 * PIECE).for_each(|output| {
            for y in output {
                *y = if y.wide() > 0.0 { *y + magnitude } else { *y - magnitude };
            }
        });
        Ok(Tensor::from_vec(output, shape, device)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_come_back_and_zero_counts_as_negative() {
        for count in [0, 1, 31, 32, 33, 100] {
            let values: Vec<f64> = (0..count).map(|i| f64::from(i % 3) - 1.0).collect();
            let x = Tensor::from_slice(&values, values.len(), &Device::Cpu).unwrap();
            let signs = pack(&x).unwrap();
            assert_eq!(signs.elem_count(), values.len().div_ceil(32) * 4);
            let back = unpack(&signs, 0.5, x.shape(), DType::F64).unwrap();
            let expected: Vec<f64> =
                values.iter().map(|&x| if x > 0.0 { 0.5 } else { -0.5 }).collect();
            assert_eq!(back.to_vec1::<f64>().unwrap(), expected);
            assert_eq!(
                add(&x, 0.5).unwrap().to_vec1::<f64>().unwrap(),
                values.iter().zip(expected).map(|(x, s)| x + s).collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused() {
        let signs = Tensor::zeros(4, DType::U8, &Device::Cpu).unwrap();
        assert!(unpack(&signs, 1.0, &Shape::from(33), DType::F32).is_err());
    }
}
