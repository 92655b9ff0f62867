//! Max-pooling, with the index of each maximum in its window for the gradient.

use candle_core::{DType, Tensor, WithDType};
use rayon::prelude::*;

use crate::blank::{blank, is_blank};
use crate::cuda::on_cuda;
use crate::dtype::Element;
use crate::tensor_io::{by_dtype, count, read};
use crate::{Error, Result};

const KERNEL: &str = "max_pool2d";

/// Windows of `kernel` pixels that start `stride` apart, with `padding` on each side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// Height and width of a window.
    pub kernel: (usize, usize),
    /// Distance between neighbouring windows in pixels.
    pub stride: (usize, usize),
    /// Padding on each side, which is never the maximum.
    pub padding: (usize, usize),
}

impl Windows {
    /// Output height and width for an image.
    ///
    /// # Errors
    /// Returns an error if kernel or stride are 0, the padding is more than half the kernel, no
    /// window fits, or one holds more pixels than an index counts.
    pub fn output_size(&self, height: usize, width: usize) -> Result<(usize, usize)> {
        let axis = |size: usize, kernel: usize, stride: usize, padding: usize| {
            let fits = kernel > 0 && stride > 0 && padding <= kernel / 2;
            let padded = fits.then(|| size.checked_add(2 * padding)).flatten()?;
            Some(padded.checked_sub(kernel)? / stride + 1)
        };
        match (
            axis(height, self.kernel.0, self.stride.0, self.padding.0),
            axis(width, self.kernel.1, self.stride.1, self.padding.1),
        ) {
            (Some(rows), Some(columns)) if self.pixels() <= u32::MAX as usize => {
                Ok((rows, columns))
            }
            _ => Err(Error::shape(
                KERNEL,
                format!("{self:?} do not fit an image of {height} x {width}"),
            )),
        }
    }

    /// Pixels of a window.
    pub(crate) fn pixels(&self) -> usize {
        self.kernel.0.saturating_mul(self.kernel.1)
    }
}

/// The maxima (N,C,H',W') of images (N,C,H,W), and the index within its window of each: u8 where
/// the window has at most 256 pixels, u32 otherwise. Among equal values the first wins; NaN wins
/// over all.
///
/// # Errors
/// Returns an error if the windows do not fit, or the type or device is not supported.
pub fn forward(images: &Tensor, windows: &Windows) -> Result<(Tensor, Tensor)> {
    on_cuda!(images => max_pool2d::forward(images, windows));
    if windows.pixels() <= 256 {
        by_dtype!(KERNEL, images, T => maxima::<T, u8>(images, windows))
    } else {
        by_dtype!(KERNEL, images, T => maxima::<T, u32>(images, windows))
    }
}

/// The gradient of the images, of shape `shape`, for output gradient and indices (N,C,H',W').
///
/// # Errors
/// Returns an error if the shapes do not fit, or the type or device is not supported.
pub fn backward(
    grad: &Tensor,
    indices: &Tensor,
    shape: &[usize],
    windows: &Windows,
) -> Result<Tensor> {
    let &[_, _, height, width] = shape else {
        return Err(Error::shape(KERNEL, format!("expected images (N,C,H,W), found {shape:?}")));
    };
    let size = windows.output_size(height, width)?;
    if grad.dims() != indices.dims() || grad.dims() != [shape[0], shape[1], size.0, size.1] {
        return Err(Error::shape(
            KERNEL,
            format!(
                "output gradient {:?} and indices {:?} do not fit {shape:?}",
                grad.dims(),
                indices.dims()
            ),
        ));
    }
    on_cuda!(grad => max_pool2d::backward(grad, indices, shape, windows));
    match indices.dtype() {
        DType::U8 => by_dtype!(KERNEL, grad, T => scatter::<T, u8>(grad, indices, shape, windows)),
        _ => by_dtype!(KERNEL, grad, T => scatter::<T, u32>(grad, indices, shape, windows)),
    }
}

fn maxima<T: Element, I: WithDType>(
    images: &Tensor,
    windows: &Windows,
) -> Result<(Tensor, Tensor)> {
    let (n, c, height, width) = images.dims4()?;
    let (rows, columns) = windows.output_size(height, width)?;
    let device = images.device();
    if is_blank(images) {
        let of = |dtype| blank((n, c, rows, columns), dtype);
        return Ok((of(T::DTYPE)?, of(I::DTYPE)?));
    }
    read!(KERNEL; images: T);
    let mut values = vec![T::zero(); count(KERNEL, &[n, c, rows, columns])?];
    let mut indices = vec![I::from_f64(0.0); values.len()];
    if !values.is_empty() {
        values
            .par_chunks_mut(rows * columns)
            .zip(indices.par_chunks_mut(rows * columns))
            .zip(images.par_chunks(height * width))
            .for_each(|((values, indices), plane)| {
                for (at, (value, index)) in values.iter_mut().zip(indices).enumerate() {
                    let (mut best, mut place) = (T::neg_infinity(), None);
                    for (tap, pixel) in pixels(windows, at / columns, at % columns, height, width) {
                        let x = plane[pixel];
                        if place.is_none() || x > best || (x.is_nan() && !best.is_nan()) {
                            (best, place) = (x, Some(tap));
                        }
                    }
                    *value = best;
                    *index = I::from_f64(place.unwrap_or(0) as f64);
                }
            });
    }
    let shape = (n, c, rows, columns);
    Ok((Tensor::from_vec(values, shape, device)?, Tensor::from_vec(indices, shape, device)?))
}

fn scatter<T: Element, I: WithDType>(
    grad: &Tensor,
    indices: &Tensor,
    shape: &[usize],
    windows: &Windows,
) -> Result<Tensor> {
    let (_, _, rows, columns) = grad.dims4()?;
    let (height, width) = (shape[2], shape[3]);
    let device = grad.device();
    read!(KERNEL; grad: T, indices: I);
    let mut result = vec![T::zero(); shape.iter().product()];
    if !result.is_empty() {
        result
            .par_chunks_mut(height * width)
            .zip(grad.par_chunks(rows * columns).zip(indices.par_chunks(rows * columns)))
            .for_each(|(plane, (grad, indices))| {
                for (at, (g, index)) in grad.iter().zip(indices).enumerate() {
                    let tap = index.to_f64() as usize;
                    let place = pixel(windows, at / columns, at % columns, tap, height, width);
                    if let Some(place) = place {
                        plane[place] += *g;
                    }
                }
            });
    }
    Ok(Tensor::from_vec(result, shape, device)?)
}

/// The pixel under tap `tap` of a window; `None` in the padding.
fn pixel(
    windows: &Windows,
    row: usize,
    column: usize,
    tap: usize,
    height: usize,
    width: usize,
) -> Option<usize> {
    let (i, j) = (tap / windows.kernel.1, tap % windows.kernel.1);
    let y = (row * windows.stride.0 + i).checked_sub(windows.padding.0).filter(|&y| y < height)?;
    let x =
        (column * windows.stride.1 + j).checked_sub(windows.padding.1).filter(|&x| x < width)?;
    Some(y * width + x)
}

/// The taps of a window that lie on a pixel, with the pixel.
fn pixels(
    windows: &Windows,
    row: usize,
    column: usize,
    height: usize,
    width: usize,
) -> impl Iterator<Item = (usize, usize)> {
    (0..windows.kernel.0 * windows.kernel.1).filter_map(move |tap| {
        pixel(windows, row, column, tap, height, width).map(|pixel| (tap, pixel))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn windows_beyond_all_sizes_are_refused() {
        let image = Tensor::zeros((1, 1, 4, 4), DType::F32, &Device::Cpu).unwrap();
        let windows = |kernel, padding| Windows {
            kernel: (kernel, kernel),
            stride: (1, 1),
            padding: (padding, padding),
        };
        for (kernel, padding) in
            [(2, 1 << 63), (2, usize::MAX), (usize::MAX, 0), (1 << 32, 1 << 31)]
        {
            let error = forward(&image, &windows(kernel, padding)).unwrap_err().to_string();
            assert!(error.contains("do not fit an image of 4 x 4"), "{error}");
        }
        assert!(forward(&image, &windows(2, 1)).is_ok());
    }
}
