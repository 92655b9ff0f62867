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
                *y = T::narrow(x.wide() * cdf(x.wide()));
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
                    let x = x.wide();
                    *r = T::narrow(g.wide() * (cdf(x) + x * density(x)));
                }
            });
        Ok(Tensor::from_vec(result, shape, device)?)
    })
}

fn cdf(x: f64) -> f64 {
    0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
}

fn density(x: f64) -> f64 {
    (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt()
}
