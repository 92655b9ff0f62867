//! A derivative that is constant between three thresholds, in two bits per element.

use candle_core::Tensor;
use num_traits::Zero;
use rayon::prelude::*;

use crate::cuda::on_cuda;
use crate::dtype::Element;
use crate::tensor_io::{by_dtype, check_finite, read};
use crate::{Error, Result};

pub(crate) const KERNEL: &str = "step_derivative";

/// Bytes of codes per parallel task.
const PIECE: usize = 4096;

/// The number of ascending `thresholds` below each element, four elements per byte (u8).
///
/// # Errors
/// Returns an error if an element is not finite, or the type or device is not supported.
pub fn codes(input: &Tensor, thresholds: [f64; 3]) -> Result<Tensor> {
    on_cuda!(input => step_derivative::codes(input, thresholds));
    let device = input.device();
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T);
        check_finite(KERNEL, input)?;
        let [a, b, c] = thresholds.map(<T as Element>::narrow);
        let code = |x: T| u8::from(x > a) + u8::from(x > b) + u8::from(x > c);
        let mut codes = vec![0u8; input.len().div_ceil(4)];
        codes.par_chunks_mut(PIECE).zip(input.par_chunks(4 * PIECE)).for_each(|(codes, input)| {
            for (byte, input) in codes.iter_mut().zip(input.chunks(4)) {
                for (place, &x) in input.iter().enumerate() {
                    *byte |= code(x) << (2 * place);
                }
            }
        });
        let bytes = codes.len();
        Ok(Tensor::from_vec(codes, bytes, device)?)
    })
}

/// `grad` times the level of each element's code.
///
/// # Errors
/// Returns an error if the sizes do not fit, or the type or device is not supported.
pub fn backward(codes: &Tensor, levels: [f64; 4], grad: &Tensor) -> Result<Tensor> {
    if codes.dims() != [grad.elem_count().div_ceil(4)] {
        let (codes, grad) = (codes.dims(), grad.dims());
        return Err(Error::shape(KERNEL, format!("codes {codes:?} for a gradient {grad:?}")));
    }
    on_cuda!(grad => step_derivative::backward(codes, levels, grad));
    let (device, shape) = (grad.device(), grad.shape());
    by_dtype!(KERNEL, grad, T => {
        read!(KERNEL; grad: T, codes: u8);
        let levels = levels.map(<T as Element>::narrow);
        let mut result = vec![T::zero(); grad.len()];
        result
            .par_chunks_mut(4 * PIECE)
            .zip(grad.par_chunks(4 * PIECE))
            .zip(codes.par_chunks(PIECE))
            .for_each(|((result, grad), codes)| {
                for ((result, grad), &byte) in result.chunks_mut(4).zip(grad.chunks(4)).zip(codes) {
                    for (place, (r, &g)) in result.iter_mut().zip(grad).enumerate() {
                        *r = g * levels[usize::from(byte >> (2 * place) & 3)];
                    }
                }
            });
        Ok(Tensor::from_vec(result, shape, device)?)
    })
}
