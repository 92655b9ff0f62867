//! GELU in its exact form, `x Φ(x)` with the normal distribution's `Φ`.

use candle_core::Tensor;
use num_traits::Zero;
use rayon::prelude::*;

use crate::element::Element;
use crate::elements::{by_dtype, read};
use crate::{Error, Result};

const KERNEL: &str = "gelu";

/// Elements that one piece of work takes.
const PIECE: usize = 8192;

/// `x Φ(x)`.
///
/// # Errors
/// If type or device have no kernel.
pub fn forward(input: &Tensor) -> Result<Tensor> {
    let (device, shape) = (input.device(), input.shape());
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T);
        let mut output = vec![T::zero(); input.len()];
        output.par_chunks_mut(PIECE).zip(input.par_chunks(PIECE)).for_each(|(output, input)| {
            for (y, &x) in output.iter_mut().zip(input) {
                *y = x * cdf(x);
            }
        });
        Ok(Tensor::from_vec(output, shape, device)?)
    })
}

/// `grad * (Φ(x) + x φ(x))` for the exact or restored input `x`.
///
/// # Errors
/// If the shapes differ, or type or device have no kernel.
pub fn backward(input: &Tensor, grad: &Tensor) -> Result<Tensor> {
    if input.dims() != grad.dims() {
        return Err(Error::shape(
            KERNEL,
            format!("input {:?} and gradient {:?} differ", input.dims(), grad.dims()),
        ));
    }
    let (device, shape) = (grad.device(), grad.shape());
    by_dtype!(KERNEL, grad, T => {
        read!(KERNEL; input: T, grad: T);
        let mut result = vec![T::zero(); grad.len()];
        result
            .par_chunks_mut(PIECE)
            .zip(grad.par_chunks(PIECE).zip(input.par_chunks(PIECE)))
            .for_each(|(result, (grad, input))| {
                for (r, (&g, &x)) in result.iter_mut().zip(grad.iter().zip(input)) {
                    *r = g * (cdf(x) + x * density(x));
                }
            });
        Ok(Tensor::from_vec(result, shape, device)?)
    })
}

fn cdf<T: Element>(x: T) -> T {
    let half = T::narrow(0.5);
    half + half * (x * T::narrow(std::f64::consts::FRAC_1_SQRT_2)).error_function()
}

fn density<T: Element>(x: T) -> T {
    (T::narrow(-0.5) * x * x).power_of_e() * T::narrow(1.0 / std::f64::consts::TAU.sqrt())
}
