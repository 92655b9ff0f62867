//! SiLU, `x σ(x)` with the logistic function `σ`.

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

const KERNEL: &str = "silu";

/// Elements per parallel task.
const PIECE: usize = 8192;

/// `x σ(x)`.
///
/// # Errors
/// Returns an error if the type or device is not supported.
pub fn forward(input: &Tensor) -> Result<Tensor> {
    if is_blank(input) {
        return blank(input.shape(), input.dtype());
    }
    on_cuda!(input => silu::forward(input));
    let (device, shape) = (input.device(), input.shape());
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T);
        let output = write(input.len(), PIECE, |elements, output| silu(&input[elements], output));
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
        input.par_chunks_mut(PIECE).for_each(silu_in_place);
    }))
}

/// `grad * σ(x) (1 + x (1 - σ(x)))` for the exact or restored input `x`.
///
/// # Errors
/// Returns an error if the shapes differ, or the type or device is not supported.
pub fn backward(input: Values<'_>, grad: &Tensor) -> Result<Tensor> {
    same_shape(KERNEL, ("input", input.dims()), grad)?;
    on_cuda!(grad => silu::backward(&input.restored()?, grad));
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
    fn silu<T: Element>(input: &[T], output: &mut Blank<'_, T>) {
        output.write([input], #[inline(always)] |[x]| silu_of(x));
    }
}

on_widest_vectors! {
    fn silu_in_place<T: Element>(values: &mut [T]) {
        for x in values {
            *x = silu_of(*x);
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

/// `x σ(x) = max(x, 0) - |x| σ(-|x|)`, with exponentials that cannot overflow.
#[inline(always)]
fn silu_of<T: Element>(x: T) -> T {
    let z = size(x);
    let lifted = z.lifted_decay();
    let left = z * lifted / (T::one() + lifted * T::UNLIFT) * T::UNLIFT;
    if x < T::zero() { -left } else { x - left }
}

/// `σ(x) (1 + x (1 - σ(x)))`; the values at `x` and `-x` sum to 1.
#[inline(always)]
fn slope<T: Element>(x: T) -> T {
    let z = size(x);
    let lifted = z.lifted_decay();
    let half = T::one() / (T::one() + lifted * T::UNLIFT); // σ(|x|)
    let left = lifted * half * (T::one() - z * half) * T::UNLIFT;
    if x < T::zero() { left } else { T::one() - left }
}

/// `|x|`, clamped to a value large enough to act as infinity without giving `infinity * 0`.
#[inline(always)]
fn size<T: Element>(x: T) -> T {
    let (size, far) = (x.abs(), T::narrow(800.0));
    if size > far { far } else { size }
}
