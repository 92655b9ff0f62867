//! ReLU, with a mask of one bit per element for the gradient.

use candle_core::{DType, Tensor};
use num_traits::Zero;
use rayon::prelude::*;

use crate::blank::{blank, is_blank};
use crate::cuda::on_cuda;
use crate::dtype::Element;
use crate::par_vec::{Blank, write, write_beside};
use crate::simd_dispatch::on_widest_vectors;
use crate::tensor_io::{by_dtype, read};
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
    if mask.dims() != [grad.elem_count().div_ceil(8)] {
        return Err(Error::shape(
            KERNEL,
            format!(
                "mask of {} bits for a gradient of {} elements",
                8 * mask.elem_count(),
                grad.elem_count()
            ),
        ));
    }
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
