//! GELU in its exact form, `x Φ(x)` with the normal distribution's `Φ`.

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

const KERNEL: &str = "gelu";

/// Elements per parallel task.
const PIECE: usize = 8192;

/// `x Φ(x)`.
///
/// # Errors
/// Returns an error if the type or device is not supported.
pub fn forward(input: &Tensor) -> Result<Tensor> {
    if is_blank(input) {
        return blank(input.shape(), input.dtype());
    }
    on_cuda!(input => gelu::forward(input));
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

/// `grad * (Φ(x) + x φ(x))` for the exact or restored input `x`.
///
/// # Errors
/// Returns an error if the shapes differ, or the type or device is not supported.
pub fn backward(input: Values<'_>, grad: &Tensor) -> Result<Tensor> {
    same_shape(KERNEL, ("input", input.dims()), grad)?;
    on_cuda!(grad => gelu::backward(&input.restored()?, grad));
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

/// `x Φ(x) = max(x, 0) - |x| Φ(-|x|)`, since `Φ(x) = 1 - Φ(-x)`. Computed from the tail, values for
/// negative x have a small relative error and are never above 0.
#[inline(always)]
fn gelu_of<T: Element>(x: T) -> T {
    let z = size(x);
    let [tail, _] = z.lifted_tail();
    let left = z * tail * T::UNLIFT;
    if x < T::zero() { -left } else { x - left }
}

/// `Φ(x) + x φ(x)`; the values at `x` and `-x` sum to 1.
#[inline(always)]
fn slope<T: Element>(x: T) -> T {
    let z = size(x);
    let [tail, density] = z.lifted_tail();
    let left = (tail - z * density) * T::UNLIFT;
    if x < T::zero() { left } else { T::one() - left }
}

/// `|x|`, clamped to a value large enough to act as infinity without giving `infinity * 0`.
#[inline(always)]
fn size<T: Element>(x: T) -> T {
    let (size, far) = (x.abs(), T::narrow(40.0));
    if size > far { far } else { size }
}
