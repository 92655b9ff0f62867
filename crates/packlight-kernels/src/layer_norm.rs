//! Layer normalisation over the last axis.

use candle_core::Tensor;
use num_traits::Zero;
use rayon::prelude::*;

use crate::blank::{blank, is_blank};
use crate::cuda::on_cuda;
use crate::dtype::Element;
use crate::par_vec::{Blank, write_beside};
use crate::simd_dispatch::on_widest_vectors;
use crate::sum::{sum, sum_of};
use crate::tensor_io::{by_dtype, read};
use crate::values::Values;
use crate::{Error, Result};

const KERNEL: &str = "layer_norm";

/// Tokens per parallel task.
const TOKENS: usize = 64;

/// The result of a forward pass.
#[derive(Debug, Clone)]
pub struct Output {
    /// The normalised input, scaled and shifted.
    pub output: Tensor,
    /// The mean of each token.
    pub mean: Tensor,
    /// One over the standard deviation of each token.
    pub inverse: Tensor,
}

/// Normalises each token (last axis, n) of `input`, then applies weight and bias (n).
///
/// # Errors
/// Returns an error if the shapes do not fit, or the type or device is not supported.
pub fn forward(input: &Tensor, weight: &Tensor, bias: &Tensor, epsilon: f64) -> Result<Output> {
    let (tokens, n) = sizes(input.dims(), &[weight, bias])?;
    if is_blank(input) {
        let of_tokens = || blank(tokens, input.dtype());
        let output = blank(input.shape(), input.dtype())?;
        return Ok(Output { output, mean: of_tokens()?, inverse: of_tokens()? });
    }
    on_cuda!(input => layer_norm::forward(input, weight, bias, epsilon));
    let (device, shape) = (input.device(), input.shape());
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T, weight: T, bias: T);
        let mut statistics = vec![(T::zero(), T::zero()); tokens];
        let beside = statistics.par_chunks_mut(TOKENS).zip(input.par_chunks(TOKENS * n));
        let output = write_beside(input.len(), TOKENS * n, beside, |(statistics, input), output| {
            normalise(input, weight, bias, epsilon, statistics, output);
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
/// Returns an error if the shapes do not fit, or the type or device is not supported.
pub fn backward(
    input: Values<'_>,
    grad: &Tensor,
    mean: &Tensor,
    inverse: &Tensor,
    weight: &Tensor,
) -> Result<(Tensor, Tensor, Tensor)> {
    let (tokens, n) = sizes(input.dims(), &[weight])?;
    if input.dims() != grad.dims() || mean.dims() != [tokens] || inverse.dims() != [tokens] {
        return Err(Error::shape(
            KERNEL,
            format!("output gradient {:?} does not fit the input {:?}", grad.dims(), input.dims()),
        ));
    }
    on_cuda!(grad => layer_norm::backward(&input.restored()?, grad, mean, inverse, weight));
    let (device, shape) = (grad.device(), grad.shape());
    by_dtype!(KERNEL, grad, T => input.read(KERNEL, |input| {
        read!(KERNEL; grad: T, mean: T, inverse: T, weight: T);
        let mut partial = vec![Vec::new(); tokens.div_ceil(TOKENS)];
        let beside = partial.par_iter_mut().enumerate();
        let result = write_beside(grad.len(), TOKENS * n, beside, |(piece, sums), result| {
            let first = piece * TOKENS;
            let tokens = first..tokens.min(first + TOKENS);
            let elements = tokens.start * n..tokens.end * n;
            *sums = vec![(0.0, 0.0); n];
            let mut buffer = Vec::new();
            differentiate(
                (input.read(elements.clone(), &mut buffer), &grad[elements]),
                (&mean[tokens.clone()], &inverse[tokens]),
                weight,
                sums,
                result,
            );
        });
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
    }))
}

on_widest_vectors! {
    /// Normalises tokens and writes their mean and one over their deviation. Both and the
    /// deviations from the mean are in f64, in which no square of an f32 is too large. The
    /// normalised value is rounded before weight and bias are applied, so that what
    /// [`crate::channel_affine`] makes of kept ones is the same, bit for bit.
    fn normalise<T: Element>(
        input: &[T],
        weight: &[T],
        bias: &[T],
        epsilon: f64,
        statistics: &mut [(T, T)],
        output: &mut Blank<'_, T>,
    ) {
        let n = weight.len();
        for (x, statistics) in input.chunks_exact(n).zip(statistics) {
            let mean = sum(x) / n as f64;
            let squares = sum_of([x], #[inline(always)] |[x]| (x.wide() - mean) * (x.wide() - mean));
            let inverse = 1.0 / (squares / n as f64 + epsilon).sqrt();
            *statistics = (T::narrow(mean), T::narrow(inverse));
            output.write(
                [x, weight, bias],
                #[inline(always)]
                |[x, w, b]| T::narrow((x.wide() - mean) * inverse) * w + b,
            );
        }
    }
}

on_widest_vectors! {
    /// Writes the gradients of tokens, given with their output gradients, means and inverse
    /// deviations, and adds to the sums those of the weight and the bias.
    fn differentiate<T: Element>(
        tokens: (&[T], &[T]),
        statistics: (&[T], &[T]),
        weight: &[T],
        sums: &mut [(f64, f64)],
        result: &mut Blank<'_, T>,
    ) {
        let n = weight.len();
        let lines = tokens.0.chunks_exact(n).zip(tokens.1.chunks_exact(n));
        for ((x, g), (mean, inverse)) in lines.zip(statistics.0.iter().zip(statistics.1)) {
            let (mean, inverse) = (mean.wide(), inverse.wide());
            let offset = sum_of([g, weight], #[inline(always)] |[g, w]| g.wide() * w.wide());
            let slope = sum_of(
                [g, weight, x],
                #[inline(always)]
                |[g, w, x]| g.wide() * w.wide() * (x.wide() - mean),
            );
            let (offset, slope) = (offset / n as f64, slope * inverse * inverse / n as f64);
            result.write(
                [g, weight, x],
                #[inline(always)]
                |[g, w, x]| {
                    let centered = g.wide() * w.wide() - offset - (x.wide() - mean) * slope;
                    T::narrow(inverse * centered)
                },
            );
            for (sums, (g, x)) in sums.iter_mut().zip(g.iter().zip(x)) {
                sums.0 += g.wide() * (x.wide() - mean) * inverse;
                sums.1 += g.wide();
            }
        }
    }
}

/// Tokens and features of the input, which the parameters must fit.
fn sizes(input: &[usize], parameters: &[&Tensor]) -> Result<(usize, usize)> {
    match input.split_last() {
        Some((&n, leading)) if n > 0 && parameters.iter().all(|p| p.dims() == [n]) => {
            Ok((leading.iter().product(), n))
        }
        _ => Err(Error::shape(
            KERNEL,
            format!(
                "expected input (..., n) and parameters (n), found {:?} and {:?}",
                input,
                parameters.iter().map(|p| p.dims()).collect::<Vec<_>>()
            ),
        )),
    }
}
