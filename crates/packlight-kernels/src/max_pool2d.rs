//! Max-pooling, with the index of each maximum in its window for the gradient.

use candle_core::{DType, Tensor, WithDType};
use num_traits::AsPrimitive;
use rayon::prelude::*;

use crate::blank::{blank, is_blank};
use crate::cuda::on_cuda;
use crate::dtype::Element;
use crate::simd_dispatch::on_widest_vectors;
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

fn maxima<T: Element, I: WithDType>(images: &Tensor, windows: &Windows) -> Result<(Tensor, Tensor)>
where
    u32: AsPrimitive<I>,
{
    let (n, c, height, width) = images.dims4()?;
    let (rows, columns) = windows.output_size(height, width)?;
    let device = images.device();
    if is_blank(images) {
        let of = |dtype| blank((n, c, rows, columns), dtype);
        return Ok((of(T::DTYPE)?, of(I::DTYPE)?));
    }
    read!(KERNEL; images: T);
    let mut values = vec![T::zero(); count(KERNEL, &[n, c, rows, columns])?];
    let mut indices = vec![I::zero(); values.len()];
    if !values.is_empty() {
        values
            .par_chunks_mut(rows * columns)
            .zip(indices.par_chunks_mut(rows * columns))
            .zip(images.par_chunks(height * width))
            .for_each(|((values, indices), plane)| {
                let mut places = vec![0; values.len()];
                maxima_of_plane(plane, width, windows, columns, values, &mut places);
                for (index, place) in indices.iter_mut().zip(places) {
                    *index = place.as_();
                }
            });
    }
    let shape = (n, c, rows, columns);
    Ok((Tensor::from_vec(values, shape, device)?, Tensor::from_vec(indices, shape, device)?))
}

on_widest_vectors! {
    /// The maxima of a plane whose rows have `width` pixels, and the tap of each.
    fn maxima_of_plane<T: Element>(
        plane: &[T],
        width: usize,
        windows: &Windows,
        columns: usize,
        values: &mut [T],
        places: &mut [u32],
    ) {
        let Windows { kernel, stride, padding } = *windows;
        // A row between its padding, with room for a whole stride behind the last pixel that is met.
        let mut line = vec![T::neg_infinity(); columns * stride.1 + kernel.1 + width];
        let lines = values.chunks_exact_mut(columns).zip(places.chunks_exact_mut(columns));
        for (row, (values, places)) in lines.enumerate() {
            // Where all are negative infinity, the first that is not padding.
            let first = padding.0.saturating_sub(row * stride.0) * kernel.1;
            for (column, place) in places.iter_mut().enumerate() {
                *place = (first + padding.1.saturating_sub(column * stride.1)) as u32;
            }
            values.fill(T::neg_infinity());
            let rows = (0..kernel.0).map(|i| (i, (row * stride.0 + i).wrapping_sub(padding.0)));
            for (i, y) in rows {
                let Some(pixels) = plane.chunks_exact(width).nth(y) else { continue };
                line[padding.1..][..width].copy_from_slice(pixels);
                for j in 0..kernel.1 {
                    let tap = (i * kernel.1 + j) as u32;
                    match stride.1 {
                        1 => take(line[j..].iter().copied(), tap, values, places),
                        2 => {
                            let pairs = line[j..].as_chunks::<2>().0;
                            take(pairs.iter().map(|pair| pair[0]), tap, values, places);
                        }
                        _ => take(line[j..].iter().copied().step_by(stride.1), tap, values, places),
                    }
                }
            }
        }
    }
}

/// Replaces values that these pixels exceed, and notes their tap.
#[inline(always)]
fn take<T: Element>(
    pixels: impl Iterator<Item = T>,
    tap: u32,
    values: &mut [T],
    places: &mut [u32],
) {
    for ((value, place), pixel) in values.iter_mut().zip(places).zip(pixels) {
        let exceeds = pixel > *value || (pixel.is_nan() && !value.is_nan());
        *value = if exceeds { pixel } else { *value };
        *place = if exceeds { tap } else { *place };
    }
}

fn scatter<T: Element, I: WithDType + AsPrimitive<usize>>(
    grad: &Tensor,
    indices: &Tensor,
    shape: &[usize],
    windows: &Windows,
) -> Result<Tensor> {
    let (_, _, rows, columns) = grad.dims4()?;
    let (height, width) = (shape[2], shape[3]);
    let device = grad.device();
    let Windows { kernel, stride, padding } = *windows;
    let taps: Vec<_> = (0..windows.pixels()).map(|tap| (tap / kernel.1, tap % kernel.1)).collect();
    read!(KERNEL; grad: T, indices: I);
    let mut result = vec![T::zero(); shape.iter().product()];
    if !result.is_empty() {
        result
            .par_chunks_mut(height * width)
            .zip(grad.par_chunks(rows * columns).zip(indices.par_chunks(rows * columns)))
            .for_each(|(plane, (grad, indices))| {
                let lines = grad.chunks_exact(columns).zip(indices.chunks_exact(columns));
                for (row, (grad, indices)) in lines.enumerate() {
                    for (column, (g, index)) in grad.iter().zip(indices).enumerate() {
                        let Some(&(i, j)) = taps.get(index.as_()) else { continue };
                        let y = (row * stride.0 + i).wrapping_sub(padding.0);
                        let x = (column * stride.1 + j).wrapping_sub(padding.1);
                        if y < height && x < width {
                            plane[y * width + x] += *g;
                        }
                    }
                }
            });
    }
    Ok(Tensor::from_vec(result, shape, device)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Key, Purpose};
    use candle_core::Device;
    use proptest::prelude::*;

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

    /// The value and the tap of a window's maximum, pixel by pixel.
    fn maximum(
        plane: &[Vec<f32>],
        windows: &Windows,
        (row, column): (usize, usize),
    ) -> (f32, usize) {
        let mut found: Option<(f32, usize)> = None;
        for i in 0..windows.kernel.0 {
            for j in 0..windows.kernel.1 {
                let y = (row * windows.stride.0 + i).checked_sub(windows.padding.0);
                let x = (column * windows.stride.1 + j).checked_sub(windows.padding.1);
                let pixel = y.and_then(|y| plane.get(y)).zip(x).and_then(|(line, x)| line.get(x));
                if let Some(&pixel) = pixel {
                    let exceeds = |best: f32| pixel > best || (pixel.is_nan() && !best.is_nan());
                    if found.is_none_or(|(best, _)| exceeds(best)) {
                        found = Some((pixel, i * windows.kernel.1 + j));
                    }
                }
            }
        }
        found.unwrap()
    }

    proptest! {
        #[test]
        fn each_window_has_its_first_maximum_and_its_gradient(
            size in (1usize..20, 1usize..20), kernel in (1usize..6, 1usize..6),
            stride in (1usize..4, 1usize..4), share in (0usize..3, 0usize..3), seed in 0u64..1000,
        ) {
            let padding = (share.0.min(kernel.0 / 2), share.1.min(kernel.1 / 2));
            let windows = Windows { kernel, stride, padding };
            let Ok((rows, columns)) = windows.output_size(size.0, size.1) else { return Ok(()) };
            let mut stream = Key::new(seed, Purpose::Sample).stream();
            // Few values, so that many are equal.
            let values = [f32::NEG_INFINITY, f32::NEG_INFINITY, -1.0, 0.0, 2.0, f32::NAN];
            let plane: Vec<Vec<f32>> = (0..size.0)
                .map(|_| (0..size.1).map(|_| values[stream.below(6) as usize]).collect())
                .collect();
            let images = Tensor::from_vec(plane.concat(), (1, 1, size.0, size.1), &Device::Cpu).unwrap();
            let (maxima, places) = forward(&images, &windows).unwrap();
            let grad = Tensor::arange(1f32, 1.0 + (rows * columns) as f32, &Device::Cpu).unwrap();
            let grad = grad.reshape((1, 1, rows, columns)).unwrap();
            let spread = backward(&grad, &places, images.dims(), &windows).unwrap();
            let maxima = maxima.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let places = places.flatten_all().unwrap().to_vec1::<u8>().unwrap();
            let mut expected = vec![vec![0.0; size.1]; size.0];
            for at in 0..rows * columns {
                let (row, column) = (at / columns, at % columns);
                let (value, tap) = maximum(&plane, &windows, (row, column));
                prop_assert!(maxima[at].to_bits() == value.to_bits() || value.is_nan());
                prop_assert_eq!((maxima[at].is_nan(), usize::from(places[at])), (value.is_nan(), tap));
                let y = row * stride.0 + tap / kernel.1 - padding.0;
                expected[y][column * stride.1 + tap % kernel.1 - padding.1] += (at + 1) as f32;
            }
            prop_assert_eq!(spread.flatten_all().unwrap().to_vec1::<f32>().unwrap(), expected.concat());
        }
    }
}
