//! A factor and an offset for each channel: what a norm does to normalised values.

use candle_core::Tensor;

use crate::blank::{blank, is_blank};
use crate::cuda::on_cuda;
use crate::dtype::Element;
use crate::par_vec::{Blank, write};
use crate::simd_dispatch::on_widest_vectors;
use crate::tensor_io::{by_dtype, read};
use crate::{Error, Result};

const KERNEL: &str = "channel_affine";

/// Elements per parallel task, or one sample where that is more.
const PIECE: usize = 16 * 1024;

/// `x * weight + bias` for `input` (N,C,...), with weight and bias (C).
///
/// The product is rounded before the sum, as in the norms' forward passes, so that their normalised
/// values give their output bit for bit.
///
/// # Errors
/// Returns an error if the shapes do not fit, or the type or device is not supported.
pub fn channel_affine(input: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let (channels, plane) = match input.dims() {
        &[_, channels, ref plane @ ..] => (channels, plane.iter().product::<usize>()),
        other => return Err(Error::shape(KERNEL, format!("expected (N,C,...), found {other:?}"))),
    };
    if weight.dims() != [channels] || bias.dims() != [channels] {
        return Err(Error::shape(
            KERNEL,
            format!(
                "expected weight and bias ({channels}), found {:?} and {:?}",
                weight.dims(),
                bias.dims()
            ),
        ));
    }
    if is_blank(input) {
        return blank(input.shape(), input.dtype());
    }
    on_cuda!(input => channel_affine::channel_affine(input, weight, bias));
    let (device, shape) = (input.device(), input.shape());
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T, weight: T, bias: T);
        let sample = channels * plane;
        let piece = (PIECE / sample.max(1)).max(1) * sample;
        let output = write(input.len(), piece, |elements, output| {
            of_samples(output, &input[elements], plane, weight, bias);
        });
        Ok(Tensor::from_vec(output, shape, device)?)
    })
}

on_widest_vectors! {
    fn of_samples<T: Element>(
        output: &mut Blank<'_, T>,
        input: &[T],
        plane: usize,
        weight: &[T],
        bias: &[T],
    ) {
        for sample in input.chunks_exact(plane * weight.len()) {
            if plane == 1 {
                output.write([sample, weight, bias], #[inline(always)] |[x, w, b]| x * w + b);
                continue;
            }
            for (plane, (&w, &b)) in sample.chunks_exact(plane).zip(weight.iter().zip(bias)) {
                output.write([plane], #[inline(always)] |[x]| x * w + b);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn channels_are_scaled_and_shifted_at_any_number_of_pixels() {
        let (weight, bias) = ([2.0, -1.0, 0.0], [0.5, 0.0, -3.0]);
        let of = |values: [f64; 3]| Tensor::new(&values, &Device::Cpu).unwrap();
        for shape in [&[2, 3][..], &[1, 3, 1], &[4, 3, 5, 7], &[9, 3, 1, 70], &[0, 3, 2]] {
            let count: usize = shape.iter().product();
            let plane: usize = shape[2..].iter().product();
            let values: Vec<f64> = (0..count).map(|i| i as f64 - 7.5).collect();
            let x = Tensor::from_vec(values.clone(), shape, &Device::Cpu).unwrap();
            let found = channel_affine(&x, &of(weight), &of(bias)).unwrap();
            let expected: Vec<f64> = (values.iter().enumerate())
                .map(|(i, x)| x * weight[i / plane % 3] + bias[i / plane % 3])
                .collect();
            assert_eq!(found.dims(), shape);
            assert_eq!(found.flatten_all().unwrap().to_vec1::<f64>().unwrap(), expected);
        }
    }

    #[test]
    fn errors_say_what_does_not_fit() {
        let of = |shape: &[usize]| Tensor::ones(shape, DType::F32, &Device::Cpu).unwrap();
        let refused = |x: &[usize], w: &[usize]| {
            channel_affine(&of(x), &of(w), &of(w)).unwrap_err().to_string()
        };
        assert!(refused(&[2, 3], &[2]).contains("expected weight and bias (3)"));
        assert!(refused(&[2], &[2]).contains("expected (N,C,...)"));
    }
}
