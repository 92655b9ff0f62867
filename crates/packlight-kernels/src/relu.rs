//! ReLU, which keeps one bit per element for its gradient.

use candle_core::Tensor;
use num_traits::Zero;
use rayon::prelude::*;

use crate::elements::{by_dtype, read};
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
        let mut output = vec![T::zero(); input.len()];
        let mut mask = vec![0u8; input.len().div_ceil(8)];
        output
            .par_chunks_mut(8 * PIECE)
            .zip(input.par_chunks(8 * PIECE))
            .zip(mask.par_chunks_mut(PIECE))
            .for_each(|((output, input), mask)| {
                for ((output, input), byte) in output.chunks_mut(8).zip(input.chunks(8)).zip(mask) {
                    for (bit, (y, &x)) in output.iter_mut().zip(input).enumerate() {
                        *y = if x <= T::zero() { T::zero() } else { x };
                        *byte |= u8::from(x > T::zero()) << bit;
                    }
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
        let mut output = vec![T::zero(); input.len()];
        output.par_chunks_mut(8 * PIECE).zip(input.par_chunks(8 * PIECE)).for_each(
            |(output, input)| {
                for (y, &x) in output.iter_mut().zip(input) {
                    *y = if x <= T::zero() { T::zero() } else { x };
                }
            },
        );
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
        let mut result = vec![T::zero(); grad.len()];
        result
            .par_chunks_mut(8 * PIECE)
            .zip(grad.par_chunks(8 * PIECE))
            .zip(mask.par_chunks(PIECE))
            .for_each(|((result, grad), mask)| {
                for ((result, grad), &byte) in result.chunks_mut(8).zip(grad.chunks(8)).zip(mask) {
                    for (bit, (r, &g)) in result.iter_mut().zip(grad).enumerate() {
                        *r = if byte >> bit & 1 == 1 { g } else { T::zero() };
                    }
                }
            });
        Ok(Tensor::from_vec(result, shape, device)?)
    })
}
