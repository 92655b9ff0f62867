//! ReLU6, with a mask of one bit per element for the gradient.

use candle_core::{DType, Tensor};
use rayon::prelude::*;

use crate::Result;
use crate::blank::{blank, is_blank};
use crate::cuda::on_cuda;
use crate::dtype::Element;
use crate::par_vec::{Blank, write, write_beside};
use crate::relu;
use crate::simd_dispatch::on_widest_vectors;
use crate::tensor_io::{by_dtype, read, write_over};

const KERNEL: &str = "relu6";

/// Bytes of mask per parallel task.
const PIECE: usize = 4096;

/// `min(max(x, 0), 6)` (NaN for NaN), and the mask of `0 < x < 6`, eight elements per byte (u8).
/// [`relu::backward`] turns the mask into the gradient.
///
/// # Errors
/// Returns an error if the type or device is not supported.
pub fn forward(input: &Tensor) -> Result<(Tensor, Tensor)> {
    if is_blank(input) {
        let mask = blank(input.elem_count().div_ceil(8), DType::U8)?;
        return Ok((blank(input.shape(), input.dtype())?, mask));
    }
    on_cuda!(input => relu6::forward(input));
    let (device, shape) = (input.device(), input.shape());
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T);
        let mut mask = vec![0u8; input.len().div_ceil(8)];
        let pieces = mask.par_chunks_mut(PIECE).zip(input.par_chunks(8 * PIECE));
        let output = write_beside(input.len(), 8 * PIECE, pieces, |(mask, input), output| {
            clamp(input, output);
            note(input, mask);
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
        pieces.for_each(|(mask, values)| {
            note(values, mask);
            clamp_in_place(values);
        });
    }))?;
    let bytes = mask.len();
    Ok(Tensor::from_vec(mask, bytes, input.device())?)
}

/// `min(max(x, 0), 6)` alone.
///
/// # Errors
/// Returns an error if the type or device is not supported.
pub fn forward_only(input: &Tensor) -> Result<Tensor> {
    if is_blank(input) {
        return blank(input.shape(), input.dtype());
    }
    on_cuda!(input => relu6::forward_only(input));
    let (device, shape) = (input.device(), input.shape());
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T);
        let output = write(input.len(), PIECE, |elements, output| clamp(&input[elements], output));
        Ok(Tensor::from_vec(output, shape, device)?)
    })
}

on_widest_vectors! {
    fn clamp<T: Element>(input: &[T], output: &mut Blank<'_, T>) {
        let six = T::narrow(6.0);
        output.write(
            [input],
            #[inline(always)]
            |[x]| if x <= T::zero() { T::zero() } else if x >= six { six } else { x },
        );
    }
}

on_widest_vectors! {
    /// [`clamp`] in place of the input.
    fn clamp_in_place<T: Element>(values: &mut [T]) {
        let six = T::narrow(6.0);
        for x in values {
            *x = if *x <= T::zero() { T::zero() } else if *x >= six { six } else { *x };
        }
    }
}

on_widest_vectors! {
    /// The bits of those between 0 and 6, eight in a byte.
    fn note<T: Element>(input: &[T], mask: &mut [u8]) {
        let six = T::narrow(6.0);
        relu::note(
            input,
            mask,
            #[inline(always)]
            |x| x > T::zero() && x < six,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn values_and_gradients_are_cut_at_0_and_6() {
        let x = [-1.0, -0.0, 0.0, 1e-30, 3.0, 5.9, 6.0, 6.1, f64::INFINITY, f64::NEG_INFINITY];
        let kept = [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0];
        for dtype in [DType::F32, DType::F64] {
            let tensor = Tensor::new(&x, &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
            let (y, mask) = forward(&tensor).unwrap();
            let values = |t: &Tensor| t.to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap();
            let expected: Vec<f64> = values(&tensor).iter().map(|x| x.clamp(0.0, 6.0)).collect();
            assert_eq!(values(&y), expected);
            assert_eq!(values(&forward_only(&tensor).unwrap()), expected);
            assert_eq!(mask.dims(), [2]);
            let grad = relu::backward(&tensor.ones_like().unwrap(), &mask).unwrap();
            assert_eq!(values(&grad), kept);
        }
        let nan = Tensor::new(&[f32::NAN], &Device::Cpu).unwrap();
        assert!(forward(&nan).unwrap().0.to_vec1::<f32>().unwrap()[0].is_nan());
    }
}
