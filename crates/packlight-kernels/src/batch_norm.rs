//! Batch normalisation over all axes but the second: (N,C) or (N,C,...).

use std::borrow::Cow;
use std::ops::Range;

use candle_core::{CpuStorage, DType, InplaceOp2, Layout, Tensor};
use rayon::prelude::*;

use crate::blank::{blank, is_blank};
use crate::cuda::on_cuda;
use crate::dtype::Element;
use crate::par_vec::{Blank, write};
use crate::simd_dispatch::on_widest_vectors;
use crate::sum::{sum, sum_of};
use crate::tensor_io::{by_dtype, read, write_over};
use crate::{Error, Result};

const KERNEL: &str = "batch_norm";

/// Elements per parallel task.
const PIECE: usize = 16 * 1024;
/// The least number of elements in one sum, if there are that many.
const RUN: usize = 1024;

/// Mean and biased variance of each channel, both (C): the mean in the input's type, the variance
/// in f64, since that of large f32 values exceeds the range of f32.
///
/// # Errors
/// Returns an error if the rank is below 2, there is nothing to average, or the type or device is
/// not supported.
pub fn statistics(input: &Tensor) -> Result<(Tensor, Tensor)> {
    let sizes = Sizes::of(input)?;
    if is_blank(input) {
        let of_channels = |dtype| blank(sizes.channels, dtype);
        return Ok((of_channels(input.dtype())?, of_channels(DType::F64)?));
    }
    on_cuda!(input => batch_norm::statistics(input));
    let device = input.device();
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T);
        let count = (sizes.samples * sizes.pixels) as f64;
        let (means, variances): (Vec<T>, Vec<f64>) = (0..sizes.channels)
            .into_par_iter()
            .map(|channel| {
                let runs = sizes.runs(input, channel);
                let runs: Vec<[f64; 3]> = runs.map(|run| run_statistics(&run)).collect();
                let mean = runs.iter().map(|[count, mean, _]| count * mean).sum::<f64>() / count;
                // Chan, Golub and LeVeque's rule: deviations within the runs and between them.
                let squares = runs.iter().map(|[count, run, squares]| {
                    squares + count * (run - mean).powi(2)
                });
                (T::narrow(mean), squares.sum::<f64>() / count)
            })
            .unzip();
        let channels = sizes.channels;
        Ok((Tensor::from_vec(means, channels, device)?, Tensor::from_vec(variances, channels, device)?))
    })
}

/// `(x - mean) / deviation * weight + bias`, with `inverse` = 1 / deviation; all of them (C).
///
/// Rounded after each operation from left to right, so that [`crate::channel_affine`] computes the
/// same bits from the normalised values.
///
/// # Errors
/// Returns an error if the shapes do not fit, or the type or device is not supported.
pub fn normalise(
    input: &Tensor,
    mean: &Tensor,
    inverse: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
) -> Result<Tensor> {
    let sizes = Sizes::of(input)?;
    sizes.check_channels(&[mean, inverse, weight, bias])?;
    if is_blank(input) {
        return blank(input.shape(), input.dtype());
    }
    on_cuda!(input => batch_norm::normalise(input, mean, inverse, weight, bias));
    let (device, shape) = (input.device(), input.shape());
    by_dtype!(KERNEL, input, T => {
        let factors = sizes.beside_each_other::<T>([mean, inverse, weight, bias])?;
        read!(KERNEL; input: T);
        let output = sizes.by_planes(|output, planes| {
            let input = &input[planes.start * sizes.pixels..planes.end * sizes.pixels];
            normalise_planes(output, input, sizes.pixels, planes.start, &factors);
        });
        Ok(Tensor::from_vec(output, shape, device)?)
    })
}

/// [`normalise`] in the storage of `input`, which nothing else may hold.
///
/// # Errors
/// Returns an error if the shapes do not fit, `input` is not contiguous, or the type or device is not
/// supported.
pub fn normalise_in_place(
    input: &Tensor,
    mean: &Tensor,
    inverse: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
) -> Result<()> {
    let sizes = Sizes::of(input)?;
    sizes.check_channels(&[mean, inverse, weight, bias])?;
    if is_blank(input) {
        return Ok(());
    }
    by_dtype!(KERNEL, input, T => {
        let factors = sizes.beside_each_other::<T>([mean, inverse, weight, bias])?;
        let (planes, pixels) = (sizes.planes_together(), sizes.pixels);
        write_over(input, KERNEL, |values: &mut [T]| {
            values.par_chunks_mut(planes * pixels).enumerate().for_each(|(piece, values)| {
                normalise_planes_in_place(values, pixels, piece * planes, &factors);
            });
        })
    })
}

/// Gradients of the input, the weight and the bias, with the batch statistics as functions of the
/// (exact or restored) input.
///
/// # Errors
/// Returns an error if the shapes do not fit, or the type or device is not supported.
pub fn backward(
    input: &Tensor,
    grad: &Tensor,
    mean: &Tensor,
    inverse: &Tensor,
    weight: &Tensor,
) -> Result<(Tensor, Tensor, Tensor)> {
    let sizes = Sizes::of_both(input, grad, &[mean, inverse, weight])?;
    on_cuda!(input => batch_norm::backward(input, grad, mean, inverse, weight));
    let (device, shape) = (input.device(), input.shape());
    by_dtype!(KERNEL, input, T => {
        let (sums, [by_weight, by_bias]) = sums::<T>(sizes, input, grad, mean, inverse, weight)?;
        read!(KERNEL; input: T, grad: T);
        let Sums { sizes, factors } = sums;
        let result = sizes.by_planes(|result, planes| {
            let elements = planes.start * sizes.pixels..planes.end * sizes.pixels;
            let (grad, input) = (&grad[elements.clone()], &input[elements]);
            differentiate_planes(result, grad, input, sizes.pixels, planes.start, &factors);
        });
        Ok((Tensor::from_vec(result, shape, device)?, by_weight, by_bias))
    })
}

/// [`backward`] with the input's gradient in the storage of `grad`, which nothing else may hold.
///
/// # Errors
/// Returns an error if the shapes do not fit, `grad` is not contiguous, or the type or device is not
/// supported.
pub fn backward_in_place(
    input: &Tensor,
    grad: &Tensor,
    mean: &Tensor,
    inverse: &Tensor,
    weight: &Tensor,
) -> Result<(Tensor, Tensor, Tensor)> {
    let sizes = Sizes::of_both(input, grad, &[mean, inverse, weight])?;
    on_cuda!(input => batch_norm::backward_in_place(input, grad, mean, inverse, weight));
    by_dtype!(KERNEL, input, T => {
        let (sums, [by_weight, by_bias]) = sums::<T>(sizes, input, grad, mean, inverse, weight)?;
        grad.inplace_op2(&input.contiguous()?, &sums)?;
        Ok((grad.clone(), by_weight, by_bias))
    })
}

/// What the gradient of an element of the input needs beside it and that of the output.
struct Sums<T> {
    sizes: Sizes,
    /// Mean, scale, offset and slope of each channel.
    factors: Vec<[T; 4]>,
}

/// The sums over each channel, and what they make: the gradients of weight and bias.
fn sums<T: Element>(
    sizes: Sizes,
    input: &Tensor,
    grad: &Tensor,
    mean: &Tensor,
    inverse: &Tensor,
    weight: &Tensor,
) -> Result<(Sums<T>, [Tensor; 2])> {
    let device = input.device();
    read!(KERNEL; input: T, grad: T, mean: T, inverse: T, weight: T);
    let (by_bias, by_weight): (Vec<f64>, Vec<f64>) = (0..sizes.channels)
        .into_par_iter()
        .map(|channel| {
            let pairs = sizes.runs(grad, channel).zip(sizes.runs(input, channel));
            let mean = mean[channel].wide();
            let (mut total, mut product) = (0.0, 0.0);
            for (grad, input) in pairs {
                let [of_grad, of_product] = run_products(&grad, &input, mean);
                (total, product) = (total + of_grad, product + of_product);
            }
            (total, product * inverse[channel].wide())
        })
        .unzip();
    let count = (sizes.samples * sizes.pixels) as f64;
    let factors: Vec<[T; 4]> = (0..sizes.channels)
        .map(|channel| {
            let inverse = inverse[channel];
            let offset = T::narrow(by_bias[channel] / count);
            let slope = T::narrow(by_weight[channel] / count) * inverse;
            [mean[channel], weight[channel] * inverse, offset, slope]
        })
        .collect();
    let narrow = |values: Vec<f64>| {
        let values: Vec<T> = values.into_iter().map(T::narrow).collect();
        Tensor::from_vec(values, sizes.channels, device)
    };
    Ok((Sums { sizes, factors }, [narrow(by_weight)?, narrow(by_bias)?]))
}

impl<T: Element> InplaceOp2 for Sums<T> {
    fn name(&self) -> &'static str {
        KERNEL
    }

    fn cpu_fwd(
        &self,
        grad: &mut CpuStorage,
        grad_layout: &Layout,
        input: &CpuStorage,
        input_layout: &Layout,
    ) -> candle_core::Result<()> {
        let Sums { sizes, factors } = self;
        let input = input.as_slice::<T>()?;
        let (Some(grad), Some(to), Some(from)) = (
            T::elements_mut(grad),
            grad_layout.contiguous_offsets(),
            input_layout.contiguous_offsets(),
        ) else {
            candle_core::bail!("{KERNEL}: contiguous tensors of one type expected")
        };
        let (planes, pixels) = (sizes.planes_together(), sizes.pixels);
        grad[to.0..to.1]
            .par_chunks_mut(planes * pixels)
            .zip(input[from.0..from.1].par_chunks(planes * pixels))
            .enumerate()
            .for_each(|(piece, (grad, input))| {
                differentiate_planes_in_place(grad, input, pixels, piece * planes, factors);
            });
        Ok(())
    }
}

on_widest_vectors! {
    /// How many elements there are, their mean, and the sum of their squared deviations from it;
    /// they are read from memory once, since they are still in the cache the second time.
    fn run_statistics<T: Element>(run: &[T]) -> [f64; 3] {
        let count = run.len() as f64;
        let mean = sum(run) / count;
        let squares = sum_of([run], #[inline(always)] |[x]| (x.wide() - mean) * (x.wide() - mean));
        [count, mean, squares]
    }
}

on_widest_vectors! {
    /// The sums of the gradient, and of its products with deviations from the mean.
    fn run_products<T: Element>(grad: &[T], input: &[T], mean: f64) -> [f64; 2] {
        let products = sum_of(
            [grad, input],
            #[inline(always)]
            |[g, x]| g.wide() * (x.wide() - mean),
        );
        [sum(grad), products]
    }
}

on_widest_vectors! {
    /// `(x - mean) * inverse * weight + bias` for planes of `pixels` elements from number `first` on,
    /// with these four for each channel.
    fn normalise_planes<T: Element>(
        output: &mut Blank<'_, T>,
        input: &[T],
        pixels: usize,
        first: usize,
        factors: &[[T; 4]],
    ) {
        let factors = factors.iter().cycle().skip(first % factors.len());
        for (input, &[mean, inverse, weight, bias]) in input.chunks_exact(pixels).zip(factors) {
            output.write([input], #[inline(always)] |[x]| (x - mean) * inverse * weight + bias);
        }
    }
}

on_widest_vectors! {
    /// [`normalise_planes`] in place of the input.
    fn normalise_planes_in_place<T: Element>(
        values: &mut [T],
        pixels: usize,
        first: usize,
        factors: &[[T; 4]],
    ) {
        let factors = factors.iter().cycle().skip(first % factors.len());
        for (plane, &[mean, inverse, weight, bias]) in values.chunks_exact_mut(pixels).zip(factors) {
            for x in plane {
                *x = (*x - mean) * inverse * weight + bias;
            }
        }
    }
}

on_widest_vectors! {
    /// `scale * (g - offset - (x - mean) * slope)` for planes of `pixels` elements from number `first`
    /// on, with (mean, scale, offset, slope) for each channel.
    fn differentiate_planes<T: Element>(
        result: &mut Blank<'_, T>,
        grad: &[T],
        input: &[T],
        pixels: usize,
        first: usize,
        factors: &[[T; 4]],
    ) {
        let planes = grad.chunks_exact(pixels).zip(input.chunks_exact(pixels));
        let factors = factors.iter().cycle().skip(first % factors.len());
        for ((grad, input), &[mean, scale, offset, slope]) in planes.zip(factors) {
            result.write(
                [grad, input],
                #[inline(always)]
                |[g, x]| scale * (g - offset - (x - mean) * slope),
            );
        }
    }
}

on_widest_vectors! {
    /// [`differentiate_planes`] in place of the gradient.
    fn differentiate_planes_in_place<T: Element>(
        grad: &mut [T],
        input: &[T],
        pixels: usize,
        first: usize,
        factors: &[[T; 4]],
    ) {
        let planes = grad.chunks_exact_mut(pixels).zip(input.chunks_exact(pixels));
        let factors = factors.iter().cycle().skip(first % factors.len());
        for ((grad, input), &[mean, scale, offset, slope]) in planes.zip(factors) {
            for (g, &x) in grad.iter_mut().zip(input) {
                *g = scale * (*g - offset - (x - mean) * slope);
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Sizes {
    samples: usize,
    channels: usize,
    pixels: usize,
}

impl Sizes {
    fn of(input: &Tensor) -> Result<Self> {
        match input.dims() {
            &[samples, channels, ref pixels @ ..] if input.elem_count() > 0 => {
                Ok(Self { samples, channels, pixels: pixels.iter().product() })
            }
            other => Err(Error::shape(
                KERNEL,
                format!("expected input (N,C,...) with elements, found {other:?}"),
            )),
        }
    }

    /// Those of an input and its output's gradient, with parameters that fit.
    fn of_both(input: &Tensor, grad: &Tensor, parameters: &[&Tensor]) -> Result<Self> {
        let sizes = Self::of(input)?;
        sizes.check_channels(parameters)?;
        if input.dims() != grad.dims() {
            return Err(Error::shape(
                KERNEL,
                format!("input {:?} and output gradient {:?} differ", input.dims(), grad.dims()),
            ));
        }
        Ok(sizes)
    }

    fn check_channels(&self, tensors: &[&Tensor]) -> Result<()> {
        match tensors.iter().find(|tensor| tensor.dims() != [self.channels]) {
            None => Ok(()),
            Some(other) => Err(Error::shape(
                KERNEL,
                format!(
                    "expected statistics and parameters ({}), found {:?}",
                    self.channels,
                    other.dims()
                ),
            )),
        }
    }

    /// Four numbers of each channel.
    fn beside_each_other<T: Element>(&self, tensors: [&Tensor; 4]) -> Result<Vec<[T; 4]>> {
        let [a, b, c, d] = tensors;
        read!(KERNEL; a: T, b: T, c: T, d: T);
        Ok((0..self.channels).map(|channel| [a, b, c, d].map(|of| of[channel])).collect())
    }

    /// The planes of one channel, sample by sample; short ones are laid side by side.
    fn runs<'a, T: Clone>(
        &self,
        data: &'a [T],
        channel: usize,
    ) -> impl Iterator<Item = Cow<'a, [T]>> + use<'a, T> {
        let sizes = *self;
        let plane = move |sample| {
            &data[(sample * sizes.channels + channel) * sizes.pixels..][..sizes.pixels]
        };
        let together = (RUN / self.pixels).max(1);
        (0..self.samples).step_by(together).map(move |first| {
            let samples = first..(first + together).min(sizes.samples);
            if together == 1 {
                return Cow::Borrowed(plane(first));
            }
            let mut run = Vec::with_capacity(samples.len() * sizes.pixels);
            samples.for_each(|sample| run.extend_from_slice(plane(sample)));
            Cow::Owned(run)
        })
    }

    /// Few enough planes at a time to stay in the cache, and so few that threads share a batch.
    fn planes_together(&self) -> usize {
        (PIECE / self.pixels).clamp(1, self.channels)
    }

    /// Data of these sizes, of which `f` writes some planes at a time.
    fn by_planes<T: Element>(
        &self,
        f: impl Fn(&mut Blank<'_, T>, Range<usize>) + Sync + Send,
    ) -> Vec<T> {
        let (planes, together) = (self.samples * self.channels, self.planes_together());
        write(planes * self.pixels, together * self.pixels, |elements, piece| {
            f(piece, elements.start / self.pixels..elements.end / self.pixels);
        })
    }
}
