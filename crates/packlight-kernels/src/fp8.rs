//! 8-bit floats under one scale for each row of values.
//!
//! The formats of Micikevicius et al., "FP8 formats for deep learning", arXiv 2209.05433. Rows are
//! consecutive values, as many as the caller says: those along a tensor's last axis, or all of them.

use std::ops::Range;

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

/// How the 7 bits beside the sign are shared between exponent and mantissa.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// 4 bits of exponent, 3 of mantissa: subnormals in steps of 2^-9, largest number 448, no
    /// infinities, NaN if all bits but the sign are set.
    E4M3,
    /// 5 bits of exponent, 2 of mantissa, the upper half of an IEEE float of 16 bits: subnormals in
    /// steps of 2^-16, largest number 57,344, infinities and NaN.
    E5M2,
}

/// The code of NaN in both formats.
const NAN: u8 = 0x7f;

impl Format {
    /// Bits of the mantissa.
    pub(crate) const fn mantissa(self) -> u32 {
        match self {
            Self::E4M3 => 3,
            Self::E5M2 => 2,
        }
    }

    const fn bias(self) -> u32 {
        (1 << (6 - self.mantissa())) - 1
    }

    /// The largest number.
    const fn greatest(self) -> f32 {
        match self {
            Self::E4M3 => 448.0,
            Self::E5M2 => 57344.0,
        }
    }

    const fn infinity(self) -> u8 {
        match self {
            Self::E4M3 => NAN,
            Self::E5M2 => 0x7c,
        }
    }

    /// The scale at which this magnitude becomes the largest number.
    pub(crate) fn scale_of(self, greatest: f32) -> f32 {
        if greatest > 0.0 { (greatest / self.greatest()).max(f32::MIN_POSITIVE) } else { 1.0 }
    }
}

/// The nearest code (u8, of the input's shape) of each value divided by the scale of its row, ties to
/// even, and the scale of each row of `row` values (rows, f32): the largest finite magnitude becomes
/// the largest number. Infinities become NaN where the format has none.
///
/// # Errors
/// Returns an error if the rows do not fit the input, or the type or device is not supported.
pub fn pack(input: &Tensor, format: Format, row: usize) -> Result<(Tensor, Tensor)> {
    let rows = rows_of(input, row)?;
    on_cuda!(input => fp8::pack(input, format, row));
    let (device, shape) = (input.device(), input.shape());
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T);
        let values = input.par_chunks(row.max(1)).with_min_len((PIECE / row.max(1)).max(1));
        let scales: Vec<f32> = values.map(|row| format.scale_of(greatest(row))).collect();
        let codes = build(input.len(), PIECE, |piece, codes| {
            encode(input, piece * PIECE, row, &scales, format, codes);
        });
        Ok((Tensor::from_vec(codes, shape, device)?, Tensor::from_vec(scales, rows, device)?))
    })
}

/// The values of the codes times the scales (rows, f32) of their rows, as f32 or f64.
///
/// # Errors
/// Returns an error if the scales do not fit the codes, or the type or device is not supported.
pub fn unpack(codes: &Tensor, scales: &Tensor, format: Format, dtype: DType) -> Result<Tensor> {
    let rows = scales.elem_count();
    let row = codes.elem_count().checked_div(rows).unwrap_or(0);
    if rows * row != codes.elem_count() {
        return Err(Error::shape(KERNEL, format!("{rows} scales for {:?} codes", codes.dims())));
    }
    on_cuda!(codes => fp8::unpack(codes, scales, format, dtype));
    match dtype {
        DType::F32 => restore::<f32>(codes, scales, row, format),
        DType::F64 => restore::<f64>(codes, scales, row, format),
        found => Err(Error::DType { kernel: KERNEL, found }),
    }
}

/// The rows of so many values that the input has.
fn rows_of(input: &Tensor, row: usize) -> Result<usize> {
    let elements = input.elem_count();
    let rows = elements.checked_div(row).unwrap_or(0);
    if rows * row != elements {
        let shape = input.dims();
        return Err(Error::shape(KERNEL, format!("{shape:?} is not divided into rows of {row}")));
    }
    Ok(rows)
}

/// The rows of `row` elements that lie in these elements, and which elements those are.
#[inline(always)]
fn rows_in(elements: Range<usize>, row: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
    (elements.start / row..elements.end.div_ceil(row)).map(move |index| {
        (index, elements.start.max(index * row)..elements.end.min((index + 1) * row))
    })
}

fn restore<T: Element>(
    codes: &Tensor,
    scales: &Tensor,
    row: usize,
    format: Format,
) -> Result<Tensor> {
    let shape = codes.shape();
    read!(KERNEL; codes: u8, scales: f32);
    let values: [f64; 256] = std::array::from_fn(|code| decode(code as u8, format).into());
    let output = build(codes.len(), PIECE, |piece, output| {
        let start = piece * PIECE;
        for (index, elements) in rows_in(start..start + output.len(), row) {
            let scale = f64::from(scales[index]);
            let of_row = &mut output[elements.start - start..elements.end - start];
            for (value, &code) in of_row.iter_mut().zip(&codes[elements]) {
                *value = T::narrow(values[usize::from(code)] * scale);
            }
        }
    });
    Ok(Tensor::from_vec(output, shape, &Device::Cpu)?)
}

/// The largest finite magnitude.
fn greatest<T: Element>(values: &[T]) -> f32 {
    match values.len() <= PIECE {
        true => greatest_in(values),
        false => values.par_chunks(PIECE).map(greatest_in).reduce(|| 0.0, f32::max),
    }
}

on_widest_vectors! {
    fn greatest_in<T: Element>(values: &[T]) -> f32 {
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
        lanes.into_iter().fold(0.0, f32::max)
    }
}

on_widest_vectors! {
    /// The codes of the elements of `input` from `start` on.
    fn encode<T: Element>(
        input: &[T],
        start: usize,
        row: usize,
        scales: &[f32],
        format: Format,
        codes: &mut [u8],
    ) {
        for (index, elements) in rows_in(start..start + codes.len(), row) {
            let scale = scales[index];
            let of_row = &mut codes[elements.start - start..elements.end - start];
            let beside = of_row.iter_mut().zip(&input[elements]);
            // A loop for each format, which is then a constant.
            match format {
                Format::E4M3 => {
                    for (code, &value) in beside {
                        *code = nearest(value.wide() as f32 / scale, Format::E4M3);
                    }
                }
                Format::E5M2 => {
                    for (code, &value) in beside {
                        *code = nearest(value.wide() as f32 / scale, Format::E5M2);
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn nearest(value: f32, format: Format) -> u8 {
    let (mantissa, bias) = (format.mantissa(), format.bias());
    let cut = 23 - mantissa;
    let sign = (value.to_bits() >> 24) as u8 & 0x80;
    let size = value.abs();
    let size = if size < format.greatest() { size } else { format.greatest() };
    // The mantissa is cut short, what is cut off rounds it, and the bias goes from 127 to the format's.
    let bits = size.to_bits();
    let rounded = (bits + (1 << (cut - 1)) - 1 + (bits >> cut & 1)) >> cut;
    let normal = rounded.wrapping_sub((127 - bias) << mantissa);
    // The steps of the lowest bits of this power of two are those of the subnormal numbers.
    let subnormal = (size + f32::from_bits((151 - bias - mantissa) << 23)).to_bits() & 0xf;
    let least_normal = f32::from_bits((128 - bias) << 23);
    let code = if size < least_normal { subnormal } else { normal } as u8;
    let code = if value.is_infinite() { format.infinity() } else { code };
    sign | if value.is_nan() { NAN } else { code }
}

fn decode(code: u8, format: Format) -> f32 {
    let (bits, magnitude) = (format.mantissa(), code & NAN);
    let exponent = i32::from(magnitude >> bits) - format.bias() as i32;
    let mantissa = f32::from(magnitude & ((1 << bits) - 1)) / (1 << bits) as f32;
    let size = match magnitude {
        NAN => f32::NAN,
        _ if magnitude == format.infinity() => f32::INFINITY,
        _ if magnitude > format.infinity() => f32::NAN,
        _ if magnitude >> bits == 0 => mantissa * 2f32.powi(exponent + 1),
        _ => (1.0 + mantissa) * 2f32.powi(exponent),
    };
    if code & 0x80 == 0 { size } else { -size }
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::f16;

    #[test]
    fn every_number_is_itself_and_what_lies_between_goes_to_the_nearest() {
        for (format, last) in [(Format::E4M3, 0x7e), (Format::E5M2, 0x7b)] {
            let (decode, nearest) = (|code| decode(code, format), |value| nearest(value, format));
            for code in 0..=255u8 {
                let value = decode(code);
                let again = nearest(value);
                let is_nan = value.is_nan() && again & NAN == NAN;
                assert!(again == code || is_nan, "{format:?} {code} {value} {again}");
            }
            for code in 0..last {
                let (low, high) = (decode(code), decode(code + 1));
                let even = code + code % 2;
                assert_eq!(nearest(low + (high - low) * 0.49), code);
                assert_eq!(nearest(low + (high - low) * 0.51), code + 1);
                assert_eq!(nearest(-(low + high) / 2.0), 0x80 | even, "a tie goes to the even one");
            }
            assert_eq!(decode(last), format.greatest());
            assert_eq!((nearest(1e9), nearest(-1e9)), (last, 0x80 | last), "no overflow");
            assert_eq!(nearest(f32::NAN) & NAN, NAN);
        }
    }

    #[test]
    fn known_values_have_known_codes() {
        let value = |code| decode(code, Format::E4M3);
        assert_eq!((value(0x7e), value(0x01), value(0x08)), (448.0, 1.0 / 512.0, 1.0 / 64.0));
        let code = |value| nearest(value, Format::E4M3);
        assert_eq!((code(f32::INFINITY), code(f32::NEG_INFINITY)), (0x7f, 0xff));
        // E5M2 is the upper byte of an f16.
        for code in 0..=255u8 {
            let (found, expected) =
                (decode(code, Format::E5M2), f16::from_bits(u16::from(code) << 8));
            let same_bits = found.to_bits() == expected.to_f32().to_bits();
            assert!(same_bits || found.is_nan() && expected.is_nan(), "{code} {found} {expected}");
        }
        let code = |value| nearest(value, Format::E5M2);
        assert_eq!((code(1.0), code(-1.5), code(57344.0)), (0x3c, 0xbe, 0x7b));
        assert_eq!((code(2f32.powi(-14)), code(2f32.powi(-16)), code(2f32.powi(-18))), (4, 1, 0));
        assert_eq!((code(f32::INFINITY), code(f32::NEG_INFINITY)), (0x7c, 0xfc));
    }

    /// What is restored of values in rows of so many.
    fn through(values: &[f32], format: Format, row: usize) -> Vec<f32> {
        let x = Tensor::new(values, &Device::Cpu).unwrap();
        let (codes, scales) = pack(&x, format, row).unwrap();
        unpack(&codes, &scales, format, DType::F32).unwrap().to_vec1().unwrap()
    }

    #[test]
    fn the_greatest_finite_magnitude_is_kept() {
        let values = [0.5f32, -3.7, f32::INFINITY, f32::NAN, 1e-30];
        for (format, precision) in [(Format::E4M3, 16.0), (Format::E5M2, 8.0)] {
            let restored = through(&values, format, 5);
            assert!((restored[1] + 3.7).abs() < 1e-6 && restored[4] == 0.0);
            assert!(!restored[2].is_finite() && restored[3].is_nan());
            assert!((restored[0] - 0.5).abs() < 0.5 / precision);
            for all in [0.0f32, 1e-44] {
                assert!(through(&[all; 3], format, 3).iter().all(|x| (x - all).abs() <= 1e-40));
            }
        }
    }

    #[test]
    fn each_row_has_its_own_scale_wherever_pieces_are_cut() {
        // Rows of a magnitude each: the scale is that of the row if the magnitude is kept.
        for (rows, row) in [(5, 7), (3 * PIECE / 4, 4), (3, PIECE + 1), (2, PIECE)] {
            let magnitude = |row: usize| (1.0 + (row % 13) as f32) * 10f32.powi(row as i32 % 9 - 4);
            let values: Vec<f32> = (0..rows * row).map(|at| magnitude(at / row)).collect();
            for format in [Format::E4M3, Format::E5M2] {
                let restored = through(&values, format, row);
                let kept = |(x, r): (&f32, &f32)| (x - r).abs() <= 1e-6 * x;
                assert!(values.iter().zip(&restored).all(kept), "{format:?} {rows} x {row}");
            }
        }
        let x = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
        let error = pack(&x, Format::E5M2, 4).unwrap_err().to_string();
        assert!(error.contains("rows of 4"), "{error}");
    }
}
