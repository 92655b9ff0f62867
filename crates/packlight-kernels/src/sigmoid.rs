//! The logistic function.

use candle_core::Tensor;

use crate::Result;
use crate::blank::{blank, is_blank};
use crate::cuda::on_cuda;
use crate::dtype::Element;
use crate::par_vec::{Blank, LARGEST_PIECE as PIECE, write};
use crate::simd_dispatch::on_widest_vectors;
use crate::tensor_io::{by_dtype, read, same_shape};

const KERNEL: &str = "sigmoid";

/// `1 / (1 + e^-x)` for each element.
///
/// # Errors
/// Returns an error if the type or device is not supported.
pub fn forward(input: &Tensor) -> Result<Tensor> {
    if is_blank(input) {
        return blank(input.shape(), input.dtype());
    }
    on_cuda!(input => sigmoid::forward(input));
    let (device, shape) = (input.device(), input.shape());
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T);
        let output = write(input.len(), PIECE, |elements, output| sigmoid(&input[elements], output));
        Ok(Tensor::from_vec(output, shape, device)?)
    })
}

/// `grad * y (1 - y)` for the exact or restored output `y`.
///
/// # Errors
/// Returns an error if the shapes differ, or the type or device is not supported.
pub fn backward(output: &Tensor, grad: &Tensor) -> Result<Tensor> {
    same_shape(KERNEL, ("output", output.dims()), grad)?;
    on_cuda!(grad => sigmoid::backward(output, grad));
    let (device, shape) = (grad.device(), grad.shape());
    by_dtype!(KERNEL, grad, T => {
        read!(KERNEL; output: T, grad: T);
        let result = write(grad.len(), PIECE, |elements, result| {
            differentiate(&output[elements.clone()], &grad[elements], result);
        });
        Ok(Tensor::from_vec(result, shape, device)?)
    })
}

on_widest_vectors! {
    /// `σ(|x|)`, or 1 minus it, with exponentials that cannot overflow.
    fn sigmoid<T: Element>(input: &[T], output: &mut Blank<'_, T>) {
        output.write(
            [input],
            #[inline(always)]
            |[x]| {
                let z = if x.abs() > T::narrow(800.0) { T::narrow(800.0) } else { x.abs() };
                let lifted = z.lifted_decay();
                let half = T::one() / (T::one() + lifted * T::UNLIFT);
                if x < T::zero() { lifted * half * T::UNLIFT } else { half }
            },
        );
    }
}

on_widest_vectors! {
    fn differentiate<T: Element>(output: &[T], grad: &[T], result: &mut Blank<'_, T>) {
        result.write([output, grad], #[inline(always)] |[y, g]| g * y * (T::one() - y));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn it_is_the_logistic_function_on_both_sides() {
        let x = [-1e30, -100.0, -3.0, -0.5, 0.0, 1e-3, 2.0, 90.0, 1e30];
        for (dtype, allowed) in [(DType::F32, 1e-6), (DType::F64, 1e-14)] {
            let tensor = Tensor::new(&x, &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
            let y = forward(&tensor).unwrap().to_dtype(DType::F64).unwrap();
            let exact = tensor.to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap();
            for (y, x) in y.to_vec1::<f64>().unwrap().into_iter().zip(exact) {
                let expected = 1.0 / (1.0 + (-x).exp());
                assert!((y - expected).abs() <= allowed * expected.max(1e-38), "{x}: {y}");
            }
        }
        let nan = forward(&Tensor::new(&[f32::NAN], &Device::Cpu).unwrap()).unwrap();
        assert!(nan.to_vec1::<f32>().unwrap()[0].is_nan());
    }
}
