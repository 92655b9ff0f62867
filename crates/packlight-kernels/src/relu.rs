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
        let (eights, rest) = input.as_chunks::<8>();
        for (input, byte) in eights.iter().zip(mask.iter_mut()) {
            *byte = rectify_eight(input, output);
        }
        if let Some(byte) = mask.get_mut(eights.len()) {
            *byte = rectify_eight(rest, output);
        }
    }
}

on_widest_vectors! {
    /// [`rectify`] in place of the input.
    fn rectify_in_place<T: Element>(values: &mut [T], mask: &mut [u8]) {
        let (eights, rest) = values.as_chunks_mut::<8>();
        for (values, byte) in eights.iter_mut().zip(mask.iter_mut()) {
            *byte = rectify_these(values);
        }
        if let Some(byte) = mask.get_mut(eights.len()) {
            *byte = rectify_these(rest);
        }
    }
}

/// Up to eight inputs, and the bits of those above 0.
#[inline(always)]
fn rectify_these<T: Element>(values: &mut [T]) -> u8 {
    let mut bits = 0;
    for (bit, x) in values.iter_mut().enumerate() {
        bits |= u8::from(*x > T::zero()) << bit;
        *x = if *x <= T::zero() { T::zero() } else { *x };
    }
    bits
}

/// Up to eight outputs, and the bits of those above 0.
#[inline(always)]
fn rectify_eight<T: Element>(input: &[T], output: &mut Blank<'_, T>) -> u8 {
    let mut bits = 0;
    for (bit, &x) in input.iter().enumerate() {
        bits |= u8::from(x > T::zero()) << bit;
    }
    output.write(
        [input],
        #[inline(always)]
        |[x]| if x <= T::zero() { T::zero() } else { x },
    );
    bits
}

on_widest_vectors! {
    /// The gradients whose bit is set, 0 for the others.
    fn select<T: Element>(grad: &[T], mask: &[u8], result: &mut Blank<'_, T>) {
        let (eights, rest) = grad.as_chunks::<8>();
        for (grad, &byte) in eights.iter().zip(mask) {
            select_eight(grad, byte, result);
        }
        if let Some(&byte) = mask.get(eights.len()) {
            select_eight(rest, byte, result);
        }
    }
}

on_widest_vectors! {
    /// [`select`] in place of the gradients.
    fn select_in_place<T: Element>(grad: &mut [T], mask: &[u8]) {
        let (eights, rest) = grad.as_chunks_mut::<8>();
        for (grad, &byte) in eights.iter_mut().zip(mask) {
            select_these(grad, byte);
        }
        if let Some(&byte) = mask.get(eights.len()) {
            select_these(rest, byte);
        }
    }
}

/// Zeroes up to eight gradients where their bit is not set.
#[inline(always)]
fn select_these<T: Element>(grad: &mut [T], bits: u8) {
    for (bit, g) in grad.iter_mut().enumerate() {
        *g = if bits >> bit & 1 == 1 { *g } else { T::zero() };
    }
}

/// Up to eight gradients where their bit is set, 0 for the others.
#[inline(always)]
fn select_eight<T: Element>(grad: &[T], bits: u8, result: &mut Blank<'_, T>) {
    let mut chosen = [false; 8];
    for (bit, chosen) in chosen.iter_mut().enumerate() {
        *chosen = bits >> bit & 1 == 1;
    }
    let mut values = [T::zero(); 8];
    for ((value, chosen), &g) in values.iter_mut().zip(chosen).zip(grad) {
        *value = if chosen { g } else { T::zero() };
    }
    result.write(
        [&values[..grad.len()]],
        #[inline(always)]
        |[value]| value,
    );
}
