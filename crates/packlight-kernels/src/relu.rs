//! ReLU, which keeps one bit per element for its gradient.

use candle_core::Tensor;
use num_traits::Zero;
use rayon::prelude::*;

use crate::element::Element;
use crate::elements::{by_dtype, read};
use crate::pieces::{build, build_beside};
use crate::{Error, Result};

const KERNEL: &str = "relu";

/// Bytes of mask that one piece of work takes.
const PIECE: usize = 4096;

/// `max(x, 0)`, NaN where `x` is; and the mask of `x > 0`, eight elements in a byte (u8).
///
/// # Errors
/// If type or device have no kernel.
pub fn forward(input: &Tensor) -> Result<(Tensor, Tensor)> {
    let (device, shape) = (input.device(), input.shape());
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T);
        let mut mask = vec![0u8; input.len().div_ceil(8)];
        let pieces = mask.par_chunks_mut(PIECE).zip(input.par_chunks(8 * PIECE));
        let output = build_beside(input.len(), 8 * PIECE, pieces, || (), |(), (mask, input), output| {
            let ((outputs, last_output), (inputs, last_input)) =
                (output.as_chunks_mut::<8>(), input.as_chunks::<8>());
            let mut bytes = mask.iter_mut();
            for ((output, input), byte) in outputs.iter_mut().zip(inputs).zip(&mut bytes) {
                *byte = rectify(input, output);
            }
            if let Some(byte) = bytes.next() {
                *byte = rectify(last_input, last_output);
            }
        });
        let bytes = mask.len();
        Ok((Tensor::from_vec(output, shape, device)?, Tensor::from_vec(mask, bytes, device)?))
    })
}

/// `max(x, 0)` alone.
///
/// # Errors
/// If type or device have no kernel.
pub fn forward_only(input: &Tensor) -> Result<Tensor> {
    let (device, shape) = (input.device(), input.shape());
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T);
        let output = build(input.len(), 8 * PIECE, |piece, output| {
            for (y, &x) in output.iter_mut().zip(&input[piece * 8 * PIECE..]) {
                *y = if x <= T::zero() { T::zero() } else { x };
            }
        });
        Ok(Tensor::from_vec(output, shape, device)?)
    })
}

/// `grad` where the mask is set, 0 elsewhere.
///
/// # Errors
/// If the sizes do not fit, or type or device have no kernel.
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
    let (device, shape) = (grad.device(), grad.shape());
    by_dtype!(KERNEL, grad, T => {
        read!(KERNEL; grad: T, mask: u8);
        let result = build(grad.len(), 8 * PIECE, |piece, result| {
            let (grad, mask) = (&grad[piece * 8 * PIECE..], &mask[piece * PIECE..]);
            let ((results, last_result), (grads, last_grad)) =
                (result.as_chunks_mut::<8>(), grad.as_chunks::<8>());
            let count = results.len();
            for ((result, grad), &byte) in results.iter_mut().zip(grads).zip(mask) {
                select(byte, grad, result);
            }
            if let (Some(&byte), false) = (mask.get(count), last_result.is_empty()) {
                select(byte, last_grad, last_result);
            }
        });
        Ok(Tensor::from_vec(result, shape, device)?)
    })
}

/// Up to eight outputs, and the bits of those above 0.
#[inline(always)]
fn rectify<T: Element>(input: &[T], output: &mut [T]) -> u8 {
    let mut bits = 0;
    for (bit, (y, &x)) in output.iter_mut().zip(input).enumerate() {
        *y = if x <= T::zero() { T::zero() } else { x };
        bits |= u8::from(x > T::zero()) << bit;
    }
    bits
}

/// Up to eight gradients where their bit is set, 0 elsewhere.
#[inline(always)]
fn select<T: Element>(bits: u8, grad: &[T], result: &mut [T]) {
    for (bit, (r, &g)) in result.iter_mut().zip(grad).enumerate() {
        *r = if bits >> bit & 1 == 1 { g } else { T::zero() };
    }
}
