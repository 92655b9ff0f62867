//! Average pooling as a layer, over windows that lie entirely inside the image.

use candle_core::Tensor;
use num_traits::Zero;
use rayon::prelude::*;

use crate::blank::{blank, is_blank};
use crate::cuda::on_cuda;
use crate::dtype::Element;
use crate::sum::sum;
use crate::tensor_io::{by_dtype, read};
use crate::{Error, Result};

const KERNEL: &str = "avg_pool2d";

/// Means (N,C,H',W') of images (N,C,H,W) over windows of `kernel` pixels, `stride` apart.
///
/// # Errors
/// Returns an error if no window fits, or the type or device is not supported.
pub fn forward(images: &Tensor, kernel: (usize, usize), stride: (usize, usize)) -> Result<Tensor> {
    let (n, c, height, width) = images.dims4()?;
    let (rows, columns) = output_size(height, width, kernel, stride)?;
    if is_blank(images) {
        return blank((n, c, rows, columns), images.dtype());
    }
    on_cuda!(images => avg_pool2d::forward(images, kernel, stride, (rows, columns)));
    let device = images.device();
    by_dtype!(KERNEL, images, T => {
        read!(KERNEL; images: T);
        let scale = T::narrow(1.0 / (kernel.0 * kernel.1) as f64);
        let mut means = vec![T::zero(); n * c * rows * columns];
        means.par_chunks_mut(rows * columns).zip(images.par_chunks(height * width)).for_each(
            |(means, plane)| {
                for (at, mean) in means.iter_mut().enumerate() {
                    let (y, x) = (at / columns * stride.0, at % columns * stride.1);
                    let lines = (y..y + kernel.0).map(|y| &plane[y * width + x..][..kernel.1]);
                    *mean = lines.flatten().copied().sum::<T>() * scale;
                }
            },
        );
        Ok(Tensor::from_vec(means, (n, c, rows, columns), device)?)
    })
}

/// The gradient of the images, of shape `shape`, for output gradient (N,C,H',W').
///
/// # Errors
/// Returns an error if the shapes do not fit, or the type or device is not supported.
pub fn backward(
    grad: &Tensor,
    shape: &[usize],
    kernel: (usize, usize),
    stride: (usize, usize),
) -> Result<Tensor> {
    let (n, c, rows, columns) = grad.dims4()?;
    let &[samples, channels, height, width] = shape else {
        return Err(Error::shape(KERNEL, format!("expected images (N,C,H,W), found {shape:?}")));
    };
    if (n, c, (rows, columns)) != (samples, channels, output_size(height, width, kernel, stride)?) {
        return Err(Error::shape(
            KERNEL,
            format!("output gradient {:?} does not fit {shape:?}", grad.dims()),
        ));
    }
    on_cuda!(grad => avg_pool2d::backward(grad, shape, kernel, stride));
    let device = grad.device();
    by_dtype!(KERNEL, grad, T => {
        read!(KERNEL; grad: T);
        let scale = T::narrow(1.0 / (kernel.0 * kernel.1) as f64);
        let mut result = vec![T::zero(); n * c * height * width];
        result.par_chunks_mut(height * width).zip(grad.par_chunks(rows * columns)).for_each(
            |(plane, grad)| {
                for (at, &g) in grad.iter().enumerate() {
                    let (y, x) = (at / columns * stride.0, at % columns * stride.1);
                    for y in y..y + kernel.0 {
                        for pixel in &mut plane[y * width + x..][..kernel.1] {
                            *pixel += g * scale;
                        }
                    }
                }
            },
        );
        Ok(Tensor::from_vec(result, shape, device)?)
    })
}

/// Means (N,C) of images (N,C,H,W) over all their pixels.
///
/// # Errors
/// Returns an error if the images hold no pixels, or the type or device is not supported.
pub fn global(images: &Tensor) -> Result<Tensor> {
    let (n, c, height, width) = images.dims4()?;
    output_size(height, width, (1, 1), (1, 1))?;
    if is_blank(images) {
        return blank((n, c), images.dtype());
    }
    on_cuda!(images => avg_pool2d::global(images));
    let device = images.device();
    by_dtype!(KERNEL, images, T => {
        read!(KERNEL; images: T);
        let pixels = height * width;
        let means: Vec<T> =
            images.chunks_exact(pixels).map(|plane| T::narrow(sum(plane) / pixels as f64)).collect();
        Ok(Tensor::from_vec(means, (n, c), device)?)
    })
}

/// The gradient of images (N,C,`size`) for the gradient (N,C) of their means.
///
/// # Errors
/// Returns an error if the rank is not 2, or the type or device is not supported.
pub fn global_backward(grad: &Tensor, size: (usize, usize)) -> Result<Tensor> {
    let (n, c) = grad.dims2()?;
    on_cuda!(grad => avg_pool2d::global_backward(grad, size));
    let device = grad.device();
    by_dtype!(KERNEL, grad, T => {
        read!(KERNEL; grad: T);
        let pixels = size.0 * size.1;
        let scale = T::narrow(1.0 / pixels as f64);
        let mut result = vec![T::zero(); n * c * pixels];
        for (plane, &g) in result.chunks_exact_mut(pixels.max(1)).zip(grad) {
            plane.fill(g * scale);
        }
        Ok(Tensor::from_vec(result, (n, c, size.0, size.1), device)?)
    })
}

fn output_size(
    height: usize,
    width: usize,
    kernel: (usize, usize),
    stride: (usize, usize),
) -> Result<(usize, usize)> {
    let axis = |size: usize, kernel: usize, stride: usize| {
        let room = (kernel > 0 && stride > 0).then(|| size.checked_sub(kernel)).flatten()?;
        Some(room / stride + 1)
    };
    match (axis(height, kernel.0, stride.0), axis(width, kernel.1, stride.1)) {
        (Some(rows), Some(columns)) => Ok((rows, columns)),
        _ => Err(Error::shape(
            KERNEL,
            format!(
                "windows {kernel:?} with stride {stride:?} do not fit an image of {height} x {width}"
            ),
        )),
    }
}
