//! ReLU, with a mask of one bit per element for the gradient.

use candle_core::{DType, Tensor};
use num_traits::Zero;
use rayon::prelude::*;

use crate::blank::{blank, is_blank};
use crate::cuda::on_cuda;
use crate::dtype::Element;
use crate::par_vec::{Blank, write, write_beside};
use crate::simd_dispatch::on_widest_vectors;
use crate::tensor_io::{by_dtype, read, write_over};
use crate::{Error, Result};

const KERNEL: &str = "relu";

/// Bytes of mask per parallel task.
const PIECE: usize = 4096;
/// Elements whose bits are taken at a time.
const LINE: usize = 64;

/// `max(x, 0)` (NaN for NaN), and the mask of `x > 0`, eight elements per byte (u8).
///
/// # Errors
/// Returns an error if the type or device is not supported.
pub fn forward(input: &Tensor) -> Result<(Tensor, Tensor)> {
    if is_blank(input) {
        let mask = blank(input.elem_count().div_ceil(8), DType::U8)?;
        return Ok((blank(input.shape(), input.dtype())?, mask));
    }
    on_cuda!(input => relu::forward(input));
    let (device, shape) = (input.device(), input.shape());
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T);
        let mut mask = vec![0u8; input.len().div_ceil(8)];
        let pieces = mask.par_chunks_mut(PIECE).zip(input.par_chunks(8 * PIECE));
        let output = write_beside(input.len(), 8 * PIECE, pieces, |(mask, input), output| {
            rectify(input, mask, output);
        });
        let bytes = mask.len();
        Ok((Tensor::from_vec(output, shape, device)?, Tensor::from_vec(mask, bytes, device)?))
    })
}

/// [`forward`] with the output in the storage of `input`, which nothing else may hold; returns the mask.
///
/// # Errors
/// Returns an error if `input` is not contiguous, or the type or device is not supported.
pub fn forward_in_place(input: &Tensor) -> Result<Tensor> {
    if is_blank(input) {
        return blank(input.elem_count().div_ceil(8), DType::U8);
    }
    let mut mask = vec![0u8; input.elem_count().div_ceil(8)];
    by_dtype!(KERNEL, input, T => write_over(input, KERNEL, |input: &mut [T]| {
        let pieces = mask.par_chunks_mut(PIECE).zip(input.par_chunks_mut(8 * PIECE));
        pieces.for_each(|(mask, values)| rectify_in_place(values, mask));
    }))?;
    let bytes = mask.len();
    Ok(Tensor::from_vec(mask, bytes, input.device())?)
}

/// `max(x, 0)` alone.
///
/// # Errors
/// Returns an error if the type or device is not supported.
pub fn forward_only(input: &Tensor) -> Result<Tensor> {
    if is_blank(input) {
        return blank(input.shape(), input.dtype());
    }
    on_cuda!(input => relu::forward_only(input));
    let (device, shape) = (input.device(), input.shape());
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T);
        let output = write(input.len(), PIECE, |elements, output| {
            output.write([&input[elements]], |[x]| if x <= T::zero() { T::zero() } else { x });
        });
        Ok(Tensor::from_vec(output, shape, device)?)
    })
}

/// `grad` where the mask is set, 0 elsewhere.
///
/// # Errors
/// Returns an error if the sizes do not fit, or the type or device is not supported.
pub fn backward(grad: &Tensor, mask: &Tensor) -> Result<Tensor> {
    check(grad, mask)?;
    on_cuda!(grad => relu::backward(grad, mask));
    let (device, shape) = (grad.device(), grad.shape());
    by_dtype!(KERNEL, grad, T => {
        read!(KERNEL; grad: T, mask: u8);
        let result = write(grad.len(), 8 * PIECE, |elements, result| {
            select(&grad[elements.clone()], &mask[elements.start / 8..], result);
        });
        Ok(Tensor::from_vec(result, shape, device)?)
    })
}

/// [`backward`] in the storage of `grad`, which nothing else may hold.
///
/// # Errors
/// Returns an error if the sizes do not fit, `grad` is not contiguous, or the type or device is not
/// supported.
pub fn backward_in_place(grad: &Tensor, mask: &Tensor) -> Result<()> {
    check(grad, mask)?;
    by_dtype!(KERNEL, grad, T => {
        read!(KERNEL; mask: u8);
        write_over(grad, KERNEL, |grad: &mut [T]| {
            let pieces = grad.par_chunks_mut(8 * PIECE).zip(mask.par_chunks(PIECE));
            pieces.for_each(|(grad, mask)| select_in_place(grad, mask));
        })
    })
}

fn check(grad: &Tensor, mask: &Tensor) -> Result<()> {
    match mask.dims() == [grad.elem_count().div_ceil(8)] {
        true => Ok(()),
        false => Err(Error::shape(
            KERNEL,
            format!(
                "mask of {} bits for a gradient of {} elements",
                8 * mask.elem_count(),
                grad.elem_count()
            ),
        )),
    }
}

on_widest_vectors! {
    /// `max(x, 0)`, and the bits of those above 0, eight in a byte.
    fn rectify<T: Element>(input: &[T], mask: &mut [u8], output: &mut Blank<'_, T>) {
        note(
            input,
            mask,
            #[inline(always)]
            |x| x > T::zero(),
        );
        output.write_from(
            input,
            #[inline(always)]
            |x| if x <= T::zero() { T::zero() } else { x },
        );
    }
}

on_widest_vectors! {
    /// [`rectify`] in place of the input.
    fn rectify_in_place<T: Element>(values: &mut [T], mask: &mut [u8]) {
        note(
            values,
            mask,
            #[inline(always)]
            |x| x > T::zero(),
        );
        for x in values {
            *x = if *x <= T::zero() { T::zero() } else { *x };
        }
    }
}

/// Writes which elements `f` is true for, eight in a byte. It must be false for 0.
#[inline(always)]
pub(crate) fn note<T: Element>(elements: &[T], mask: &mut [u8], f: impl Fn(T) -> bool) {
    let (lines, last) = elements.as_chunks::<LINE>();
    let (masks, last_mask) = mask.split_at_mut(lines.len() * (LINE / 8));
    for (line, mask) in lines.iter().zip(masks.as_chunks_mut().0) {
        *mask = bits_of(line, &f);
    }
    let mut line = [T::zero(); LINE];
    line[..last.len()].copy_from_slice(last);
    let bits = bits_of(&line, &f);
    last_mask.copy_from_slice(&bits[..last_mask.len()]);
}

#[inline(always)]
fn bits_of<T: Element>(line: &[T; LINE], f: impl Fn(T) -> bool) -> [u8; LINE / 8] {
    let mut set = [0; LINE];
    for (set, &x) in set.iter_mut().zip(line) {
        *set = u8::from(f(x));
    }
    let mut bytes = [0; LINE / 8];
    for (byte, eight) in bytes.iter_mut().zip(set.as_chunks().0) {
        // The product's highest byte has the lowest bit of each byte, the first one's lowest.
        *byte = (u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u8;
    }
    bytes
}

on_widest_vectors! {
    /// The gradients whose bit is set, 0 for the others.
    fn select<T: Element>(grad: &[T], mask: &[u8], result: &mut Blank<'_, T>) {
        let (lines, last) = grad.as_chunks::<LINE>();
        let bits = mask.as_chunks().0;
        for (line, bits) in lines.iter().zip(bits) {
            result.copy_of(&selected(*line, bits));
        }
        result.copy_of(&last_selected(last, &mask[lines.len() * (LINE / 8)..])[..last.len()]);
    }
}

on_widest_vectors! {
    /// [`select`] in place of the gradients.
    fn select_in_place<T: Element>(grad: &mut [T], mask: &[u8]) {
        let (lines, last) = grad.as_chunks_mut::<LINE>();
        let bits = mask.as_chunks().0;
        for (line, bits) in lines.iter_mut().zip(bits) {
            *line = selected(*line, bits);
        }
        let values = last_selected(last, &mask[lines.len() * (LINE / 8)..]);
        last.copy_from_slice(&values[..last.len()]);
    }
}

/// Gradients where their bit is set, 0 for the others. By masks and by value: a choice would be a branch for each.
#[inline(always)]
fn selected<T: Element>(line: [T; LINE], bits: &[u8; LINE / 8]) -> [T; LINE] {
    let mut result = [T::zero(); LINE];
    let eights = result.as_chunks_mut::<8>().0.iter_mut().zip(line.as_chunks::<8>().0);
    for ((result, eight), &byte) in eights.zip(bits) {
        let chosen = CHOSEN[usize::from(byte)];
        for ((result, g), chosen) in result.iter_mut().zip(eight).zip(chosen) {
            *result = g.masked(chosen);
        }
    }
    result
}

/// [`selected`] of fewer gradients.
#[inline(always)]
fn last_selected<T: Element>(last: &[T], bits: &[u8]) -> [T; LINE] {
    let (mut line, mut bytes) = ([T::zero(); LINE], [0; LINE / 8]);
    line[..last.len()].copy_from_slice(last);
    bytes[..last.len().div_ceil(8)].copy_from_slice(&bits[..last.len().div_ceil(8)]);
    selected(line, &bytes)
}

/// The bits of each byte as masks: shifting them out of the byte would take longer than choosing.
static CHOSEN: [[u32; 8]; 256] = {
    let mut chosen = [[0; 8]; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut bit = 0;
        while bit < 8 {
            chosen[byte][bit] = if byte >> bit & 1 == 1 { u32::MAX } else { 0 };
            bit += 1;
        }
        byte += 1;
    }
    chosen
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relu6;
    use candle_core::Device;

    const INPUTS: [f64; 7] = [3.0, -1.0, 0.0, f64::INFINITY, 7.0, 1e-30, f64::NEG_INFINITY];
    const GRADS: [f64; 5] = [f64::NAN, 2.0, f64::NEG_INFINITY, -0.5, 1e30];

    fn bits(tensor: &Tensor) -> Vec<u64> {
        let values = tensor.to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap();
        values.into_iter().map(f64::to_bits).collect()
    }

    fn check(len: usize, dtype: DType, six: bool) {
        let tensor = |values: &[f64]| {
            let values: Vec<f64> = values.iter().copied().cycle().take(len).collect();
            Tensor::from_vec(values, len, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
        };
        let input = tensor(&INPUTS);
        let (output, mask) = if six { relu6::forward(&input) } else { forward(&input) }.unwrap();
        let largest = if six { 6.0 } else { f64::INFINITY };
        assert_eq!(bits(&output), bits(&tensor(&INPUTS.map(|x| x.clamp(0.0, largest)))));
        let rises: Vec<bool> =
            INPUTS.iter().map(|&x| x > 0.0 && !(six && x >= 6.0)).cycle().take(len).collect();
        let byte =
            |eight: &[bool]| eight.iter().rev().fold(0, |byte, &bit| byte << 1 | u8::from(bit));
        let expected: Vec<u8> = rises.chunks(8).map(byte).collect();
        assert_eq!(mask.to_vec1::<u8>().unwrap(), expected);
        let over = input.copy().unwrap();
        let mask_of_both =
            if six { relu6::forward_in_place(&over) } else { forward_in_place(&over) };
        assert_eq!(mask_of_both.unwrap().to_vec1::<u8>().unwrap(), expected);
        assert_eq!(bits(&over), bits(&output));

        let grad = tensor(&GRADS);
        let chosen = bits(&grad).into_iter().zip(rises);
        let expected: Vec<u64> = chosen.map(|(g, rises)| if rises { g } else { 0 }).collect();
        assert_eq!(bits(&backward(&grad, &mask).unwrap()), expected);
        let over = grad.copy().unwrap();
        backward_in_place(&over, &mask).unwrap();
        assert_eq!(bits(&over), expected);
    }

    #[test]
    fn every_length_has_its_values_bits_and_gradients() {
        for len in 0..200 {
            for dtype in [DType::F32, DType::F64] {
                check(len, dtype, false);
                check(len, dtype, true);
            }
        }
    }
}
