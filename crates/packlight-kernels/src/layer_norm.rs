//! Layer normalisation over the last axis.

use candle_core::Tensor;
use num_traits::Zero;
use rayon::prelude::*;

use crate::element::Element;
use crate::elements::{by_dtype, read};
use crate::sum::{sum, sum_of};
use crate::{Error, Result};

const KERNEL: &str = "layer_norm";

/// Tokens that one piece of work takes.
const TOKENS: usize = 64;

/// What a forward pass gives.
#[derive(Debug, Clone)]
pub struct Output {
    /// The normalised input, scaled and shifted.
    pub output: Tensor,
    /// The mean of each token.
    pub mean: Tensor,
    /// One over the deviation of each token.
    pub inverse: Tensor,
}

/// Normalises each token (last axis, n) of `input`, then applies weight and bias (n).
///
/// # Errors
/// If the shapes do not fit, or type or device have no kernel.
pub fn forward(input: &Tensor, weight: &Tensor, bias: &Tensor, epsilon: f64) -> Result<Output> {
    let (tokens, n) = sizes(input, &[weight, bias])?;
    let (device, shape) = (input.device(), input.shape());
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T, weight: T, bias: T);
        let mut output = vec![T::zero(); input.len()];
        let mut statistics = vec![(T::zero(), T::zero()); tokens];
        output
            .par_chunks_mut(TOKENS * n)
            .zip(input.par_chunks(TOKENS * n))
            .zip(statistics.par_chunks_mut(TOKENS))
            .for_each(|((output, input), statistics)| {
                let lines = output.chunks_exact_mut(n).zip(input.chunks_exact(n));
                for ((output, input), statistics) in lines.zip(statistics) {
                    let mean = T::narrow(sum(input) / n as f64);
                    let squares = sum_of([input], |[x]| (x - mean) * (x - mean));
                    let inverse = T::narrow(1.0 / (squares / n as f64 + epsilon).sqrt());
                    *statistics = (mean, inverse);
                    for (i, y) in output.iter_mut().enumerate() {
                        *y = (input[i] - mean) * inverse * weight[i] + bias[i];
                    }
                }
            });
        let (mean, inverse): (Vec<T>, Vec<T>) = statistics.into_iter().unzip();
        Ok(Output {
            output: Tensor::from_vec(output, shape, device)?,
            mean: Tensor::from_vec(mean, tokens, device)?,
            inverse: Tensor::from_vec(inverse, tokens, device)?,
        })
    })
}

/// Gradients of the input, the weight and the bias, for the exact or restored input.
///
/// # Errors
/// If the shapes do not fit, or type or device have no kernel.
pub fn backward(
    input: &Tensor,
    grad: &Tensor,
    mean: &Tensor,
    inverse: &Tensor,
    weight: &Tensor,
) -> Result<(Tensor, Tensor, Tensor)> {
    let (tokens, n) = sizes(input, &[weight])?;
    if input.dims() != grad.dims() || mean.dims() != [tokens] || inverse.dims() != [tokens] {
        return Err(Error::shape(
            KERNEL,
            format!("output gradient {:?} does not fit the input {:?}", grad.dims(), input.dims()),
        ));
    }
    let (device, shape) = (input.device(), input.shape());
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T, grad: T, mean: T, inverse: T, weight: T);
        let mut result = vec![T::zero(); input.len()];
        let partial: Vec<Vec<(f64, f64)>> = result
            .par_chunks_mut(TOKENS * n)
            .enumerate()
            .map(|(piece, result)| {
                let mut sums = vec![(0.0, 0.0); n];
                for (line, result) in result.chunks_exact_mut(n).enumerate() {
                    let token = piece * TOKENS + line;
                    let (mean, inverse) = (mean[token], inverse[token]);
                    let (x, g) = (&input[token * n..][..n], &grad[token * n..][..n]);
                    let normal = |i: usize| (x[i] - mean) * inverse;
                    let offset = T::narrow(sum_of([g, weight], |[g, w]| g * w) / n as f64);
                    let slope = sum_of([g, weight, x], |[g, w, x]| g * w * ((x - mean) * inverse));
                    let slope = T::narrow(slope / n as f64);
                    for (i, r) in result.iter_mut().enumerate() {
                        *r = inverse * (g[i] * weight[i] - offset - normal(i) * slope);
                        sums[i].0 += (g[i] * normal(i)).wide();
                        sums[i].1 += g[i].wide();
                    }
                }
                sums
            })
            .collect();
        let (by_weight, by_bias): (Vec<T>, Vec<T>) = (0..n)
            .map(|i| {
                let add = |a: (f64, f64), b: &Vec<(f64, f64)>| (a.0 + b[i].0, a.1 + b[i].1);
                let (weight, bias) = partial.iter().fold((0.0, 0.0), add);
                (T::narrow(weight), T::narrow(bias))
            })
            .unzip();
        Ok((
            Tensor::from_vec(result, shape, device)?,
            Tensor::from_vec(by_weight, n, device)?,
            Tensor::from_vec(by_bias, n, device)?,
        ))
    })
}

/// Tokens and features of the input, which the parameters must fit.
fn sizes(input: &Tensor, parameters: &[&Tensor]) -> Result<(usize, usize)> {
    match input.dims().split_last() {
        Some((&n, leading)) if n > 0 && parameters.iter().all(|p| p.dims() == [n]) => {
            Ok((leading.iter().product(), n))
        }
        _ => Err(Error::shape(
            KERNEL,
            format!(
                "input (..., n) and parameters (n) expected, {:?} and {:?} found",
                input.dims(),
                parameters.iter().map(|p| p.dims()).collect::<Vec<_>>()
            ),
        )),
    }
}
