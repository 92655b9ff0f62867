//! Affine quantisation of groups of neighbouring values to a few bits.
//!
//! A value x of a group becomes the integer q nearest to (x - min) / scale + noise, and is restored
//! as q * scale + min. With stochastic rounding the mean of the restored value is x. The range of a
//! group is kept in two bf16 numbers, and codes are computed from these: the minimum is rounded
//! down and the scale up, so the range still covers the group, nothing is clipped, and rounding the
//! range causes no bias, only slightly wider steps.
//!
//! A group with a value that is not finite, or with a range that exceeds f32 or bf16, is restored
//! as NaN.

use std::ops::Range;

use candle_core::{DType, Device, Tensor};
use half::bf16;
use rayon::prelude::*;

pub use crate::noise::Rounding;
pub use grouping::{Bits, Grouping};

pub use coded::Coded;
pub use extremes::{extremes, extremes_over_rows};

pub(crate) use affine::Affine;
pub(crate) use coded::{Codes, decode};
use extremes::extremes_in;
use grouping::Group;
pub(crate) use grouping::Layout;

use crate::cuda::on_cuda;
use crate::dtype::Element;
use crate::noise::Noise;
use crate::par_vec::{Blank, refill, split, write_parts};
use crate::simd_dispatch::on_widest_vectors;
use crate::tensor_io::{by_dtype, read};
use crate::{Error, Result};

mod affine;
mod coded;
mod extremes;
mod grouping;

const KERNEL: &str = "quantise";

/// Codes (bytes, u8), and the minimum and the scale of each group (groups, 2) as bf16.
///
/// # Errors
/// Returns an error if the grouping does not fit the tensor, or the type or device is not
/// supported.
pub fn pack(
    input: &Tensor,
    grouping: &Grouping<'_>,
    rounding: Rounding,
) -> Result<(Tensor, Tensor)> {
    on_cuda!(input => quantise::pack(input, grouping, rounding));
    let layout = Layout::new(input.elem_count(), grouping)?;
    let device = input.device();
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T);
        let mut ranges = vec![[bf16::ZERO; 2]; layout.groups()];
        let pieces = layout.pieces();
        let ranges_of = split(&mut ranges, pieces.iter().map(|groups| groups.end));
        let beside = pieces.par_iter().cloned().zip(ranges_of).enumerate();
        let ends = pieces.iter().map(|groups| layout.byte(groups.end));
        let codes = write_parts(ends, beside, |(piece, (groups, ranges)), codes| {
            let mut noise = Noise::new(rounding, piece);
            encode(input, &layout, groups, ranges, &mut noise, codes);
        });
        let groups = ranges.len();
        Ok((
            Tensor::from_vec(codes, layout.bytes, device)?,
            Tensor::from_vec(ranges.into_flattened(), (groups, 2), device)?,
        ))
    })
}

/// Codes (bytes, u8) for ranges that are given: the minimum and the scale (groups of a row, 2, f32)
/// of the same group of every row. Values outside the range get the nearest code.
///
/// # Errors
/// Returns an error if the grouping or the ranges do not fit the tensor, or the type or device is
/// not supported.
pub fn pack_within(
    input: &Tensor,
    ranges: &Tensor,
    grouping: &Grouping<'_>,
    rounding: Rounding,
) -> Result<Tensor> {
    on_cuda!(input => quantise::pack_within(input, ranges, grouping, rounding));
    let layout = Layout::new(input.elem_count(), grouping)?;
    layout.check_ranges(ranges, layout.groups_per_row)?;
    let device = input.device();
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T, ranges: f32);
        let ranges = ranges.as_chunks::<2>().0;
        let pieces = layout.pieces();
        let ends = pieces.iter().map(|groups| layout.byte(groups.end));
        let beside = pieces.par_iter().cloned().enumerate();
        let codes = write_parts(ends, beside, |(piece, groups), codes| {
            let mut noise = Noise::new(rounding, piece);
            encode_within(input, &layout, groups, ranges, &mut noise, codes);
        });
        Ok(Tensor::from_vec(codes, layout.bytes, device)?)
    })
}

/// Restores the values from the codes and ranges of [`pack`] or [`pack_within`], as f32 or f64.
///
/// # Errors
/// Returns an error if the sizes do not fit, or the type or device is not supported.
pub fn unpack(coded: &Coded<'_>) -> Result<Tensor> {
    on_cuda!(coded.codes => quantise::unpack(coded));
    match coded.dtype {
        DType::F32 => restore::<f32>(coded),
        DType::F64 => restore::<f64>(coded),
        found => Err(Error::DType { kernel: KERNEL, found }),
    }
}

/// The layout of packed values, their ranges in f32, and whether these are those of the groups of a row.
pub(crate) fn packed<'a>(coded: &Coded<'a>) -> Result<(Layout<'a>, Tensor, bool)> {
    let Coded { codes, ranges, grouping, shape, .. } = coded;
    let layout = Layout::new(shape.iter().product(), grouping)?;
    if codes.elem_count() != layout.bytes {
        return Err(Error::shape(
            KERNEL,
            format!("expected {} bytes of codes, found {}", layout.bytes, codes.elem_count()),
        ));
    }
    let shared = ranges.dtype() == DType::F32;
    layout.check_ranges(ranges, if shared { layout.groups_per_row } else { layout.groups() })?;
    Ok((layout, ranges.to_dtype(DType::F32)?, shared))
}

fn restore<T: Element>(coded: &Coded<'_>) -> Result<Tensor> {
    let len = coded.shape.iter().product();
    let values = coded.read(|codes| {
        let mut values = Vec::<T>::new();
        refill(&mut values, len, |blank| codes.restore(0..len, blank));
        Ok(values)
    })?;
    Ok(Tensor::from_vec(values, coded.shape, &Device::Cpu)?)
}

/// Groups whose ranges are found before their values are looked at again, in the nearest cache.
pub(crate) const TOGETHER: usize = 16;

on_widest_vectors! {
    /// The codes and the ranges of some groups of `input`.
    fn encode<T: Element>(
        input: &[T],
        layout: &Layout<'_>,
        groups: Range<usize>,
        found: &mut [[bf16; 2]],
        noise: &mut Noise,
        codes: &mut Blank<'_, u8>,
    ) {
        let mut walk = layout.walk(groups);
        for found in found.chunks_mut(TOGETHER) {
            let mut together = [(&input[..0], 0); TOGETHER];
            let together = &mut together[..found.len()];
            for (values, group) in together.iter_mut().zip(&mut walk) {
                *values = (&input[group.elements], group.bits);
            }
            encode_together(together, found, noise, codes);
        }
    }
}

/// The codes and the ranges of at most [`TOGETHER`] groups, each given with its bits.
#[inline(always)]
pub(crate) fn encode_together<T: Element>(
    groups: &[(&[T], u8)],
    found: &mut [[bf16; 2]],
    noise: &mut Noise,
    codes: &mut Blank<'_, u8>,
) {
    // Apart from the codes: a range waits for its last value, and the codes for the range.
    let mut ranges = [Affine { min: 0.0, scale: 0.0 }; TOGETHER];
    for (range, (values, bits)) in ranges.iter_mut().zip(groups) {
        let (low, high) = extremes_in(values);
        *range = Affine::covering(low, high, *bits);
    }
    for (found, range) in found.iter_mut().zip(&ranges) {
        *found = range.narrow();
    }
    for (range, (values, bits)) in ranges.iter().zip(groups) {
        range.encode(values, *bits, noise, codes);
    }
}

on_widest_vectors! {
    /// The codes of some groups of `input` within the ranges of the groups of a row.
    fn encode_within<T: Element>(
        input: &[T],
        layout: &Layout<'_>,
        groups: Range<usize>,
        ranges: &[[f32; 2]],
        noise: &mut Noise,
        codes: &mut Blank<'_, u8>,
    ) {
        for Group { elements, bits, within } in layout.walk(groups) {
            let [min, scale] = ranges[within];
            Affine { min, scale }.encode(&input[elements], bits, noise, codes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::affine::levels;
    use super::*;
    use crate::rng::{Key, Purpose};
    use proptest::prelude::*;

    fn tensor(values: &[f64]) -> Tensor {
        Tensor::new(values, &Device::Cpu).unwrap()
    }

    fn through(x: &Tensor, grouping: &Grouping<'_>, rounding: Rounding) -> Vec<f64> {
        let (codes, ranges) = pack(x, grouping, rounding).unwrap();
        let (shape, dtype) = (x.dims(), x.dtype());
        let coded = Coded { codes: &codes, ranges: &ranges, grouping: *grouping, shape, dtype };
        let restored = unpack(&coded).unwrap();
        restored.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    fn stochastic(step: u64) -> Rounding {
        Rounding::Stochastic(Key::new(1, Purpose::Codec).step(step))
    }

    #[test]
    fn extremes_are_exact_where_bf16_holds_them() {
        for bits in 1..=8 {
            let top = f64::from(levels(bits));
            let values: Vec<f64> = (0..300).map(|i| f64::from(i) % (top + 1.0) - 2.0).collect();
            let grouping = Grouping { row: 300, group: 300, bits: Bits::All(bits) };
            for step in 0..20 {
                assert_eq!(through(&tensor(&values), &grouping, stochastic(step)), values);
            }
        }
    }

    #[test]
    fn what_is_not_finite_makes_its_group_nan_and_no_other() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
            let x = tensor(&[0.0, bad, 1.0, 2.0]);
            let grouping = Grouping { row: 4, group: 2, bits: Bits::All(1) };
            let restored = through(&x, &grouping, stochastic(0));
            assert!(restored[0].is_nan() && restored[1].is_nan());
            assert_eq!(restored[2..], [1.0, 2.0]);
        }
        let whole = tensor(&[f64::from(f32::MAX), f64::from(f32::MIN)]);
        let grouping = Grouping { row: 2, group: 2, bits: Bits::All(8) };
        assert!(through(&whole, &grouping, Rounding::Nearest).iter().all(|x| x.is_nan()));
    }

    #[test]
    fn groups_of_zero_range_and_empty_tensors() {
        let grouping = Grouping { row: 3, group: 2, bits: Bits::All(2) };
        assert_eq!(through(&tensor(&[0.0; 6]), &grouping, stochastic(0)), [0.0; 6]);
        assert_eq!(through(&tensor(&[-1.5; 6]), &grouping, stochastic(0)), [-1.5; 6]);
        // bf16 knows no 0.3: the two codes beside it are at most one step of bf16 apart.
        let restored = through(&tensor(&[0.3; 6]), &grouping, stochastic(0));
        assert!(restored.iter().all(|x| (x - 0.3).abs() < 0.3 / 128.0));
        assert!(through(&tensor(&[1e-44, 0.0, 1e-44]), &grouping, stochastic(0))[1] < 1e-43);
        let empty = Tensor::zeros((0, 3), DType::F32, &Device::Cpu).unwrap();
        assert!(through(&empty, &grouping, stochastic(0)).is_empty());
    }

    #[test]
    fn given_ranges_clamp_on_both_sides() {
        let x = tensor(&[-9.0, 0.0, 1.0, 9.0, -1.0, 0.6, 3.0, 4.0]);
        let grouping = Grouping { row: 4, group: 2, bits: Bits::All(8) };
        // Two groups in each of the two rows; the rows share their ranges.
        let ranges = Tensor::new(&[[0f32, 1.0 / 255.0], [1.0, 2.0 / 255.0]], &Device::Cpu).unwrap();
        let codes = pack_within(&x, &ranges, &grouping, Rounding::Nearest).unwrap();
        assert_eq!(codes.to_vec1::<u8>().unwrap(), [0, 0, 0, 255, 0, 153, 255, 255]);
        let (shape, dtype) = (&[8][..], DType::F64);
        let coded = Coded { codes: &codes, ranges: &ranges, grouping, shape, dtype };
        let restored = unpack(&coded).unwrap();
        let gap = (restored - tensor(&[0.0, 0.0, 1.0, 3.0, 0.0, 0.6, 3.0, 3.0])).unwrap();
        assert!(gap.abs().unwrap().max(0).unwrap().to_scalar::<f64>().unwrap() < 1e-3);
    }

    #[test]
    fn errors_say_what_does_not_fit() {
        let x = tensor(&[0.0; 6]);
        let refusal = |row, group, bits| {
            let grouping = Grouping { row, group, bits };
            pack(&x, &grouping, Rounding::Nearest).unwrap_err().to_string()
        };
        assert!(refusal(4, 2, Bits::All(2)).contains("rows of 4"));
        assert!(refusal(0, 2, Bits::All(2)).contains("rows of 0"));
        assert!(refusal(3, 0, Bits::All(2)).contains("groups of 0"));
        assert!(refusal(3, 2, Bits::All(9)).contains("1 to 8 bits"));
        assert!(refusal(3, 2, Bits::PerRow(&[1])).contains("bits of 2 rows"));
        assert!(refusal(3, 2, Bits::PerRow(&[1, 0])).contains("1 to 8 bits"));
    }

    proptest! {
        #[test]
        fn restored_values_are_within_a_step(
            rows in 0usize..5, row in 1usize..700, group in 1usize..300,
            bits in prop::collection::vec(1u8..=8, 5), nearest in any::<bool>(), seed in 0u64..100,
        ) {
            let mut stream = Key::new(seed, Purpose::Sample).stream();
            let values: Vec<f32> = (0..rows * row).map(|_| stream.normal() as f32).collect();
            let x = Tensor::from_vec(values.clone(), (rows, row), &Device::Cpu).unwrap();
            let grouping = Grouping { row, group, bits: Bits::PerRow(&bits[..rows]) };
            let rounding = if nearest { Rounding::Nearest } else { stochastic(seed) };
            let (codes, _) = pack(&x, &grouping, rounding).unwrap();
            prop_assert_eq!(codes.elem_count(), grouping.bytes(rows));
            let restored = through(&x, &grouping, rounding);
            let found = extremes(&x, row, group).unwrap().to_vec2::<f32>().unwrap();
            for (i, (x, restored)) in values.iter().zip(restored).enumerate() {
                let [low, high] = found[i / row * grouping.groups_per_row() + i % row / group][..] else {
                    panic!("two extremes");
                };
                prop_assert!(low <= *x && *x <= high);
                let bits = bits[i / row];
                // Rounding to bf16 takes the least value down and the step up by 2^-7 at most.
                let wide = f64::from(high - low + low.abs() / 100.0) * 1.01;
                let steps = if nearest { 0.5 } else { 1.0 };
                let allowed = steps * wide / f64::from(levels(bits)) + 1e-6;
                prop_assert!((f64::from(*x) - restored).abs() <= allowed, "{x} {restored} {bits}");
            }
        }
    }
}
