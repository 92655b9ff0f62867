//! Batch normalisation over all axes but the second: (N,C) or (N,C,...).

use candle_core::Tensor;
use rayon::prelude::*;

use crate::element::Element;
use crate::elements::{by_dtype, read};
use crate::pieces::build;
use crate::sum::{sum, sum_of};
use crate::widest::on_widest_vectors;
use crate::{Error, Result};

const KERNEL: &str = "batch_norm";

/// Elements that one piece of work takes.
const PIECE: usize = 16 * 1024;

/// Mean and biased variance of each channel, both (C).
///
/// # Errors
/// If the rank is below 2, there is nothing to average, or type or device have no kernel.
pub fn statistics(input: &Tensor) -> Result<(Tensor, Tensor)> {
    let sizes = Sizes::of(input)?;
    let device = input.device();
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T);
        let count = (sizes.samples * sizes.pixels) as f64;
        let (means, variances): (Vec<T>, Vec<T>) = (0..sizes.channels)
            .into_par_iter()
            .map(|channel| {
                let planes = sizes.planes(input, channel).map(plane_statistics);
                let planes: Vec<(f64, f64)> = planes.collect();
                let mean = planes.iter().map(|(mean, _)| mean).sum::<f64>() / planes.len() as f64;
                // Chan, Golub and LeVeque's rule: deviations within the planes and between them.
                let between = |plane: f64| sizes.pixels as f64 * (plane - mean).powi(2);
                let squares = planes.iter().map(|&(mean, squares)| squares + between(mean));
                let variance = squares.sum::<f64>() / count;
                (T::narrow(mean), T::narrow(variance))
            })
            .unzip();
        let channels = sizes.channels;
        Ok((Tensor::from_vec(means, channels, device)?, Tensor::from_vec(variances, channels, device)?))
    })
}

/// `(x - mean) / deviation * weight + bias`, with `inverse` = 1 / deviation; all of them (C).
///
/// # Errors
/// If the shapes do not fit, or type or device have no kernel.
pub fn normalise(
    input: &Tensor,
    mean: &Tensor,
    inverse: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
) -> Result<Tensor> {
    let sizes = Sizes::of(input)?;
    sizes.check_channels(&[mean, inverse, weight, bias])?;
    let (device, shape) = (input.device(), input.shape());
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T, mean: T, inverse: T, weight: T, bias: T);
        let output = sizes.by_plane(|plane, channel, at| {
            let scale = inverse[channel] * weight[channel];
            let shift = bias[channel];
            let mean = mean[channel];
            for (y, &x) in plane.iter_mut().zip(&input[at..]) {
                *y = (x - mean) * scale + shift;
            }
        });
        Ok(Tensor::from_vec(output, shape, device)?)
    })
}

/// Gradients of the input, the weight and the bias, with the batch statistics as functions of the
/// (exact or restored) input.
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
    let sizes = Sizes::of(input)?;
    sizes.check_channels(&[mean, inverse, weight])?;
    if input.dims() != grad.dims() {
        return Err(Error::shape(
            KERNEL,
            format!("input {:?} and output gradient {:?} differ", input.dims(), grad.dims()),
        ));
    }
    let (device, shape) = (input.device(), input.shape());
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T, grad: T, mean: T, inverse: T, weight: T);
        let (by_bias, by_weight): (Vec<f64>, Vec<f64>) = (0..sizes.channels)
            .into_par_iter()
            .map(|channel| {
                let pairs = sizes.planes(grad, channel).zip(sizes.planes(input, channel));
                let mean = mean[channel];
                let (mut total, mut product) = (0.0, 0.0);
                for (grad, input) in pairs {
                    let [of_grad, of_product] = plane_products(grad, input, mean);
                    (total, product) = (total + of_grad, product + of_product);
                }
                (total, product * inverse[channel].wide())
            })
            .unzip();
        let count = (sizes.samples * sizes.pixels) as f64;
        let result = sizes.by_plane(|plane, channel, at| {
            let inverse = inverse[channel];
            let scale = weight[channel] * inverse;
            let offset = T::narrow(by_bias[channel] / count);
            let slope = T::narrow(by_weight[channel] / count) * inverse;
            let mean = mean[channel];
            for ((r, &g), &x) in plane.iter_mut().zip(&grad[at..]).zip(&input[at..]) {
                *r = scale * (g - offset - (x - mean) * slope);
            }
        });
        let narrow = |values: Vec<f64>| -> Vec<T> { values.into_iter().map(T::narrow).collect() };
        Ok((
            Tensor::from_vec(result, shape, device)?,
            Tensor::from_vec(narrow(by_weight), sizes.channels, device)?,
            Tensor::from_vec(narrow(by_bias), sizes.channels, device)?,
        ))
    })
}

on_widest_vectors! {
    /// Mean of a plane, and the sum of its squared deviations from it; each plane is read from
    /// memory once, since it is still in the cache the second time.
    fn plane_statistics<T: Element>(plane: &[T]) -> (f64, f64) {
        let count = plane.len() as f64;
        let mean = sum(plane) / count;
        let center = T::narrow(mean);
        let squares = sum_of([plane], #[inline(always)] |[x]| (x - center) * (x - center));
        // What rounding the mean leaves behind is taken off again.
        (mean, (squares - count * (mean - center.wide()).powi(2)).max(0.0))
    }
}

on_widest_vectors! {
    /// The sums over a plane of the gradient, and of its products with deviations from the mean.
    fn plane_products<T: Element>(grad: &[T], input: &[T], mean: T) -> [f64; 2] {
        [sum(grad), sum_of([grad, input], #[inline(always)] |[g, x]| g * (x - mean))]
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
                format!("input (N,C,...) with elements expected, {other:?} found"),
            )),
        }
    }

    fn check_channels(&self, tensors: &[&Tensor]) -> Result<()> {
        match tensors.iter().find(|tensor| tensor.dims() != [self.channels]) {
            None => Ok(()),
            Some(other) => Err(Error::shape(
                KERNEL,
                format!(
                    "statistics and parameters ({}) expected, {:?} found",
                    self.channels,
                    other.dims()
                ),
            )),
        }
    }

    /// The planes of one channel, sample by sample.
    fn planes<'a, T>(
        &self,
        data: &'a [T],
        channel: usize,
    ) -> impl Iterator<Item = &'a [T]> + use<'a, T> {
        let Self { samples, channels, pixels } = *self;
        (0..samples).map(move |sample| {
            let start = (sample * channels + channel) * pixels;
            &data[start..start + pixels]
        })
    }

    /// Data of these sizes, computed by `f` plane by plane, given the plane's channel and the index
    /// of its first element.
    fn by_plane<T: Element>(&self, f: impl Fn(&mut [T], usize, usize) + Sync + Send) -> Vec<T> {
        let sample = self.channels * self.pixels;
        // Few enough planes at a time to stay in the cache, and so few that threads share a batch.
        let together = (PIECE / self.pixels).clamp(1, self.channels);
        let piece = together * self.pixels;
        build(self.samples * sample, piece, |number, planes| {
            for (plane, number) in planes.chunks_exact_mut(self.pixels).zip(number * together..) {
                f(plane, number % self.channels, number * self.pixels);
            }
        })
    }
}
