//! 8-bit floats with 4 exponent and 3 mantissa bits (E4M3) and one scale for the whole tensor.
//!
//! Micikevicius et al., "FP8 formats for deep learning", arXiv 2209.05433: exponent bias 7,
//! subnormals in steps of 2^-9, largest number 448, no infinities, NaN if all bits but the sign are
//! set.

use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;

use crate::cuda::on_cuda;
use crate::dtype::Element;
use crate::par_vec::{LARGEST_PIECE, build};
use crate::simd_dispatch::on_widest_vectors;
use crate::tensor_io::{by_dtype, read};
use crate::{Error, Result};

const KERNEL: &str = "fp8";

/// Elements per parallel task.
const PIECE: usize = LARGEST_PIECE;

/// The largest number.
const GREATEST: f32 = 448.0;
const NAN: u8 = 0x7f;

/// The nearest code (u8, of the input's shape) of each value divided by the scale, ties to even,
/// and the scale: the largest finite magnitude becomes 448. Values that are not finite become NaN.
///
/// # Errors
/// Returns an error if the type or device is not supported.
pub fn pack(input: &Tensor) -> Result<(Tensor, f32)> {
    on_cuda!(input => fp8::pack(input));
    let (device, shape) = (input.device(), input.shape());
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T);
        let greatest = input.par_chunks(PIECE).map(|piece| {
            let mut greatest = [0.0];
            greatest_in(piece, &mut greatest);
            greatest[0]
        });
        let greatest = greatest.reduce(|| 0.0, f32::max);
        let scale = scale_of(greatest);
        let codes = build(input.len(), PIECE, |piece, codes| {
            encode(&input[piece * PIECE..][..codes.len()], scale, codes);
        });
        Ok((Tensor::from_vec(codes, shape, device)?, scale))
    })
}

/// The values of the codes, as f32 or f64.
///
/// # Errors
/// Returns an error if the type or device is not supported.
pub fn unpack(codes: &Tensor, scale: f32, dtype: DType) -> Result<Tensor> {
    on_cuda!(codes => fp8::unpack(codes, scale, dtype));
    match dtype {
        DType::F32 => restore::<f32>(codes, scale),
        DType::F64 => restore::<f64>(codes, scale),
        found => Err(Error::DType { kernel: KERNEL, found }),
    }
}

/// The scale at which this magnitude becomes the largest number.
pub(crate) fn scale_of(greatest: f32) -> f32 {
    if greatest > 0.0 { (greatest / GREATEST).max(f32::MIN_POSITIVE) } else { 1.0 }
}

fn restore<T: Element>(codes: &Tensor, scale: f32) -> Result<Tensor> {
    let shape = codes.shape();
    read!(KERNEL; codes: u8);
    let values: [T; 256] =
        std::array::from_fn(|code| T::narrow(f64::from(decode(code as u8)) * f64::from(scale)));
    let output = build(codes.len(), PIECE, |piece, output| {
        for (value, &code) in output.iter_mut().zip(&codes[piece * PIECE..]) {
            *value = values[usize::from(code)];
        }
    });
    Ok(Tensor::from_vec(output, shape, &Device::Cpu)?)
}

on_widest_vectors! {
    fn greatest_in<T: Element>(values: &[T], greatest: &mut [f32; 1]) {
        let mut lanes = [0.0; 32];
        let mut take = |lane: usize, value: T| {
            let size = (value.wide() as f32).abs();
            lanes[lane] = if size > lanes[lane] && size <= f32::MAX { size } else { lanes[lane] };
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
        greatest[0] = lanes.into_iter().fold(0.0, f32::max);
    }
}

on_widest_vectors! {
    fn encode<T: Element>(values: &[T], scale: f32, codes: &mut [u8]) {
        for (code, &value) in codes.iter_mut().zip(values) {
            *code = nearest(value.wide() as f32 / scale);
        }
    }
}

#[inline(always)]
fn nearest(value: f32) -> u8 {
    let sign = (value.to_bits() >> 24) as u8 & 0x80;
    let size = value.abs();
    let size = if size < GREATEST { size } else { GREATEST };
    // The mantissa is cut to 3 bits, what is cut off rounds it, and the bias goes from 127 to 7.
    let bits = size.to_bits();
    let normal = ((bits + 0x7_ffff + (bits >> 20 & 1)) >> 20).wrapping_sub(120 << 3);
    // 2^14 has steps of 2^-9 in its lowest bits.
    let subnormal = (size + 16384.0).to_bits() & 0xf;
    let code = if size < 1.0 / 64.0 { subnormal } else { normal } as u8;
    let code = if value.is_finite() { code } else { NAN };
    sign | code
}

fn decode(code: u8) -> f32 {
    let (exponent, mantissa) = (i32::from(code >> 3 & 0xf), f32::from(code & 7));
    let size = match (code & NAN, exponent) {
        (NAN, _) => f32::NAN,
        (_, 0) => mantissa / 512.0,
        _ => (1.0 + mantissa / 8.0) * 2f32.powi(exponent - 7),
    };
    if code & 0x80 == 0 { size } else { -size }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_itself_and_what_lies_between_goes_to_the_nearest() {
        for code in 0..=255u8 {
            let value = decode(code);
            let again = nearest(value);
            assert!(
                again == code || value.is_nan() && again & NAN == NAN,
                "{code} {value} {again}"
            );
        }
        assert_eq!((decode(0x7e), decode(0x01), decode(0x08)), (448.0, 1.0 / 512.0, 1.0 / 64.0));
        for code in 0..0x7eu8 {
            let (low, high) = (decode(code), decode(code + 1));
            let even = code + code % 2;
            assert_eq!(nearest(low + (high - low) * 0.49), code);
            assert_eq!(nearest(low + (high - low) * 0.51), code + 1);
            assert_eq!(nearest(-(low + high) / 2.0), 0x80 | even, "a tie goes to the even one");
        }
        assert_eq!((nearest(1e9), nearest(-1e9)), (0x7e, 0xfe));
        assert_eq!((nearest(f32::INFINITY), nearest(f32::NEG_INFINITY)), (0x7f, 0xff));
    }

    #[test]
    fn the_greatest_finite_magnitude_is_kept() {
        let values = [0.5f32, -3.7, f32::INFINITY, f32::NAN, 1e-30];
        let (codes, scale) = pack(&Tensor::new(&values, &Device::Cpu).unwrap()).unwrap();
        let restored = unpack(&codes, scale, DType::F32).unwrap().to_vec1::<f32>().unwrap();
        assert!((restored[1] + 3.7).abs() < 1e-6 && restored[4] == 0.0);
        assert!(restored[2].is_nan() && restored[3].is_nan());
        assert!((restored[0] - 0.5).abs() < 0.5 / 16.0);
        for all in [0.0f32, 1e-44] {
            let (codes, scale) = pack(&Tensor::new(&[all; 3], &Device::Cpu).unwrap()).unwrap();
            let restored = unpack(&codes, scale, DType::F32).unwrap().to_vec1::<f32>().unwrap();
            assert!(restored.iter().all(|x| (x - all).abs() <= 1e-40));
        }
    }
}
