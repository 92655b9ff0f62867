//! SiLU, `x σ(x)` with the logistic function `σ`.

use candle_core::Tensor;
use num_traits::Zero;
use rayon::prelude::*;

use crate::element::Element;
use crate::elements::{by_dtype, read};
use crate::{Error, Result};

const KERNEL: &str = "silu";

/// Elements that one piece of work takes.
const PIECE: usize = 8192;

/// `x σ(x)`.
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
                *y = x * logistic(x);
            }
        });
        Ok(Tensor::from_vec(output, shape, device)?)
    })
}

/// `grad * σ(x) (1 + x (1 - σ(x)))` for the exact or restored input `x`.
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
                    let s = logistic(x);
                    *r = g * s * (T::narrow(1.0) + x * (T::narrow(1.0) - s));
                }
            });
        Ok(Tensor::from_vec(result, shape, device)?)
    })
}

fn logistic<T: Element>(x: T) -> T {
    T::narrow(1.0) / (T::narrow(1.0) + (-x).exp())
}
