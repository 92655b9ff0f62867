//! GELU in its approximate form, `x (1 + tanh u) / 2` with `u = sqrt(2/π) (x + 0.044715 x³)`
//! (Hendrycks and Gimpel, 2016), which GPT-2 computes with. It equals `x σ(2u)` with the logistic
//! function `σ`.

use candle_core::Tensor;
use rayon::prelude::*;

use crate::Result;
use crate::blank::{blank, is_blank};
use crate::cuda::on_cuda;
use crate::dtype::Element;
use crate::par_vec::{Blank, write};
use crate::simd_dispatch::on_widest_vectors;
use crate::tensor_io::{by_dtype, read, same_shape, write_over};
use crate::values::Values;

const KERNEL: &str = "gelu_tanh";

/// Elements per parallel task.
const PIECE: usize = 8192;

/// `2 sqrt(2/π)`.
const SCALE: f64 = 1.595_769_121_605_730_7;
const CUBIC: f64 = 0.044_715;

/// `x σ(2u)`.
///
/// # Errors
/// Returns an error if the type or device is not supported.
pub fn forward(input: &Tensor) -> Result<Tensor> {
    if is_blank(input) {
        return blank(input.shape(), input.dtype());
    }
    on_cuda!(input => gelu_tanh::forward(input));
    let (device, shape) = (input.device(), input.shape());
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T);
        let output = write(input.len(), PIECE, |elements, output| gelu(&input[elements], output));
        Ok(Tensor::from_vec(output, shape, device)?)
    })
}

/// [`forward`] written over `input`, which nothing else may hold.
///
/// # Errors
/// Returns an error if `input` is not contiguous, or the type or device is not supported.
pub fn forward_in_place(input: &Tensor) -> Result<()> {
    if is_blank(input) {
        return Ok(());
    }
    by_dtype!(KERNEL, input, T => write_over(input, KERNEL, |input: &mut [T]| {
        input.par_chunks_mut(PIECE).for_each(gelu_in_place);
    }))
}

/// `grad * σ(2u) (1 + 2 x u' (1 - σ(2u)))` for the exact or restored input `x`.
///
/// # Errors
/// Returns an error if the shapes differ, or the type or device is not supported.
pub fn backward(input: Values<'_>, grad: &Tensor) -> Result<Tensor> {
    same_shape(KERNEL, ("input", input.dims()), grad)?;
    on_cuda!(grad => gelu_tanh::backward(&input.restored()?, grad));
    let result = grad.force_contiguous()?;
    backward_in_place(input, &result)?;
    Ok(result)
}

/// [`backward`] written over `grad`, which nothing else may hold.
///
/// # Errors
/// Returns an error if the shapes differ, `grad` is not contiguous, or the type or device is not supported.
pub fn backward_in_place(input: Values<'_>, grad: &Tensor) -> Result<()> {
    same_shape(KERNEL, ("input", input.dims()), grad)?;
    by_dtype!(KERNEL, grad, T => input.read(KERNEL, |input| {
        write_over(grad, KERNEL, |grad: &mut [T]| input.change(grad, differentiate))
    }))
}

on_widest_vectors! {
    fn gelu<T: Element>(input: &[T], output: &mut Blank<'_, T>) {
        output.write([input], #[inline(always)] |[x]| gelu_of(x));
    }
}

on_widest_vectors! {
    fn gelu_in_place<T: Element>(values: &mut [T]) {
        for x in values {
            *x = gelu_of(*x);
        }
    }
}

on_widest_vectors! {
    fn differentiate<T: Element>(input: &[T], grad: &mut [T]) {
        for (grad, &x) in grad.iter_mut().zip(input) {
            *grad *= slope(x);
        }
    }
}

/// `x σ(2u) = max(x, 0) - |x| σ(-2|u|)`, with exponentials that cannot overflow.
#[inline(always)]
fn gelu_of<T: Element>(x: T) -> T {
    let z = size(x);
    let lifted = twice_u(z).lifted_decay();
    let left = z * lifted / (T::one() + lifted * T::UNLIFT) * T::UNLIFT;
    if x < T::zero() { -left } else { x - left }
}

/// The derivative; its values at `x` and `-x` sum to 1.
#[inline(always)]
fn slope<T: Element>(x: T) -> T {
    let z = size(x);
    let lifted = twice_u(z).lifted_decay();
    let half = T::one() / (T::one() + lifted * T::UNLIFT); // σ(2|u|)
    let rise = z * T::narrow(SCALE) * (T::one() + T::narrow(3.0 * CUBIC) * z * z); // 2 |x| u'
    let left = lifted * half * (T::one() - rise * half) * T::UNLIFT;
    if x < T::zero() { left } else { T::one() - left }
}

/// `2u` for z >= 0.
#[inline(always)]
fn twice_u<T: Element>(z: T) -> T {
    T::narrow(SCALE) * z * (T::one() + T::narrow(CUBIC) * z * z)
}

/// `|x|`, clamped to a value large enough to act as infinity without giving `infinity * 0`.
#[inline(always)]
fn size<T: Element>(x: T) -> T {
    let (size, far) = (x.abs(), T::narrow(22.0));
    if size > far { far } else { size }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    #[test]
    fn values_and_slopes_are_those_of_the_formula_everywhere() {
        let steps = (-400..=400).map(|step| f64::from(step) / 25.0);
        let far = [-1e30, -100.0, -1e-30, 1e-30, 100.0, 1e30];
        let x: Vec<f64> = steps.chain(far).collect();
        for (dtype, tolerance) in [(DType::F32, 3e-7), (DType::F64, 1e-15)] {
            let input = Tensor::new(&x[..], &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
            let values = |t: Tensor| t.to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap();
            let found = values(forward(&input).unwrap());
            let slopes = values(backward((&input).into(), &input.ones_like().unwrap()).unwrap());
            for ((x, found), slope) in values(input).into_iter().zip(found).zip(slopes) {
                let u = 0.5 * SCALE * (x + CUBIC * x.powi(3));
                let value = 0.5 * x * (1.0 + u.tanh());
                let gap = (found - value).abs();
                assert!(gap <= tolerance * x.abs(), "{x}: {found:e}, {value:e}");
                assert!(if x < 0.0 { found <= 0.0 } else { found >= 0.0 }, "{x}: {found}");
                let rise = 0.5 * SCALE * (1.0 + 3.0 * CUBIC * x * x);
                let bend = 0.5 * x * rise / u.cosh().powi(2);
                let exact = 0.5 * (1.0 + u.tanh()) + if bend.is_finite() { bend } else { 0.0 };
                assert!((slope - exact).abs() <= 20.0 * tolerance, "{x}: {slope:e}, {exact:e}");
            }
            let nan = Tensor::new(&[f64::NAN], &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
            assert!(values(forward(&nan).unwrap())[0].is_nan());
            assert!(
                values(backward((&nan).into(), &nan.ones_like().unwrap()).unwrap())[0].is_nan()
            );
        }
    }
}
