//! Sums and means over rectangular patches anywhere on an image, and the way back to pixels.

use candle_core::Tensor;
use num_traits::Zero;

use crate::cuda::on_cuda;
use crate::dtype::Element;
use crate::par_vec::build_planes;
use crate::tensor_io::{by_dtype, read};
use crate::{Error, Result};

const KERNEL: &str = "patches";

/// Adjacent patches along one axis of an image; parts beyond its edges are empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patches {
    /// The number of patches.
    pub count: usize,
    /// Pixels per patch.
    pub size: usize,
    /// Pixels by which the first patch begins before the image's edge; after it if negative.
    pub before: isize,
}

impl Patches {
    /// The pixels, out of `length`, in patch `number`.
    fn pixels(&self, number: usize, length: usize) -> std::ops::Range<usize> {
        let at = |edge: usize| (edge as isize - self.before).clamp(0, length as isize) as usize;
        at(number * self.size)..at((number + 1) * self.size)
    }

    /// The pixels of each patch.
    fn all(&self, length: usize) -> Vec<std::ops::Range<usize>> {
        (0..self.count).map(|number| self.pixels(number, length)).collect()
    }
}

/// Sums of images (N,C,H,W) over rows and columns of patches: (N,C,rows,columns).
///
/// # Errors
/// Returns an error if the rank is not 4, or the type or device is not supported.
pub fn sums(images: &Tensor, rows: Patches, columns: Patches) -> Result<Tensor> {
    reduce(images, rows, columns, false)
}

/// Means of images (N,C,H,W) over the pixels of each patch; 0 for an empty patch.
///
/// # Errors
/// Returns an error if the rank is not 4, or the type or device is not supported.
pub fn means(images: &Tensor, rows: Patches, columns: Patches) -> Result<Tensor> {
    reduce(images, rows, columns, true)
}

fn reduce(images: &Tensor, rows: Patches, columns: Patches, mean: bool) -> Result<Tensor> {
    let (n, c, height, width) = images.dims4()?;
    on_cuda!(images => patches::reduce(images, rows, columns, mean));
    let (vertical, horizontal) = (rows.all(height), columns.all(width));
    let device = images.device();
    by_dtype!(KERNEL, images, T => {
        read!(KERNEL; images: T);
        let (to, from) = ((n * c, rows.count * columns.count), (images, height * width));
        let result = build_planes(to, from, width, |plane, result, line| {
            for (rows, result) in vertical.iter().zip(result.chunks_exact_mut(columns.count)) {
                line.fill(T::zero());
                for row in plane[rows.start * width..rows.end * width].chunks_exact(width) {
                    for (sum, value) in line.iter_mut().zip(row) {
                        *sum += *value;
                    }
                }
                for (columns, result) in horizontal.iter().zip(result) {
                    *result = line[columns.clone()].iter().copied().sum();
                    if mean {
                        *result /= T::narrow((rows.len() * columns.len()).max(1) as f64);
                    }
                }
            }
        });
        Ok(Tensor::from_vec(result, (n, c, rows.count, columns.count), device)?)
    })
}

/// The images and channels of values (N,C,rows,columns), one for each patch.
fn one_for_each(values: &Tensor, rows: Patches, columns: Patches) -> Result<(usize, usize)> {
    match values.dims4()? {
        (n, c, height, width) if (height, width) == (rows.count, columns.count) => Ok((n, c)),
        _ => {
            let (values, rows, columns) = (values.dims(), rows.count, columns.count);
            Err(Error::shape(KERNEL, format!("{values:?} for {rows} x {columns} patches")))
        }
    }
}

/// Images (N,C,`size`) with each patch filled with its value of (N,C,rows,columns), and 0 outside
/// all patches. If `share`, each value is first divided by the number of its patch's pixels.
///
/// # Errors
/// Returns an error if the values are not as many as the patches, or the type or device is not
/// supported.
pub fn spread(
    values: &Tensor,
    rows: Patches,
    columns: Patches,
    size: (usize, usize),
    share: bool,
) -> Result<Tensor> {
    let (n, c) = one_for_each(values, rows, columns)?;
    on_cuda!(values => patches::spread(values, rows, columns, size, share));
    let (height, width) = size;
    let (vertical, horizontal) = (rows.all(height), columns.all(width));
    let device = values.device();
    by_dtype!(KERNEL, values, T => {
        read!(KERNEL; values: T);
        let (to, from) = ((n * c, height * width), (values, rows.count * columns.count));
        let images = build_planes(to, from, width, |values, plane, line| {
            line.fill(T::zero());
            for (rows, values) in vertical.iter().zip(values.chunks_exact(columns.count)) {
                for (columns, &value) in horizontal.iter().zip(values) {
                    let pixels = if share { (rows.len() * columns.len()).max(1) } else { 1 };
                    line[columns.clone()].fill(value / T::narrow(pixels as f64));
                }
                for row in plane[rows.start * width..rows.end * width].chunks_exact_mut(width) {
                    row.copy_from_slice(line);
                }
            }
        });
        Ok(Tensor::from_vec(images, (n, c, height, width), device)?)
    })
}

/// Images (N,C,`size`) with the values (N,C,rows,columns) interpolated bilinearly between the
/// patches' centres and constant beyond the outermost; 0 outside all patches.
///
/// # Errors
/// Returns an error if the values are not as many as the patches, or the type or device is not
/// supported.
pub fn interpolate(
    values: &Tensor,
    rows: Patches,
    columns: Patches,
    size: (usize, usize),
) -> Result<Tensor> {
    let (n, c) = one_for_each(values, rows, columns)?;
    on_cuda!(values => patches::interpolate(values, rows, columns, size));
    let (height, width) = size;
    let (vertical, horizontal) = (rows.between(height), columns.between(width));
    let device = values.device();
    by_dtype!(KERNEL, values, T => {
        read!(KERNEL; values: T);
        let (to, from) = ((n * c, height * width), (values, rows.count * columns.count));
        let images = build_planes(to, from, 0, |values, plane, _| {
            for (y, row) in vertical.iter().zip(plane.chunks_exact_mut(width)) {
                let Some((above, below, down)) = *y else { continue };
                for (x, pixel) in horizontal.iter().zip(row) {
                    let Some((left, right, across)) = *x else { continue };
                    let at = |row: usize, column: usize| values[row * columns.count + column].wide();
                    let mix = |row| at(row, left) * (1.0 - across) + at(row, right) * across;
                    *pixel = T::narrow(mix(above) * (1.0 - down) + mix(below) * down);
                }
            }
        });
        Ok(Tensor::from_vec(images, (n, c, height, width), device)?)
    })
}

impl Patches {
    /// For each pixel that lies in a patch the two patches whose centres it lies between, and its
    /// distance from the first of them as a share.
    fn between(&self, length: usize) -> Vec<Option<(usize, usize, f64)>> {
        let covered = self.pixels(0, length).start..self.pixels(self.count, length).start;
        let between = |pixel: usize| {
            let place = (pixel as f64 + self.before as f64 + 0.5) / self.size as f64 - 0.5;
            let place = place.clamp(0.0, self.count.saturating_sub(1) as f64);
            let first = place as usize;
            (first, (first + 1).min(self.count - 1), place - first as f64)
        };
        (0..length).map(|pixel| covered.contains(&pixel).then(|| between(pixel))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn values(tensor: &Tensor) -> Vec<f64> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn patches_hold_what_lies_in_the_image() {
        let image = Tensor::arange(0f64, 9., &Device::Cpu).unwrap().reshape((1, 1, 3, 3)).unwrap();
        // A patch of 2 that begins a pixel before the image, and one that ends with it.
        let patches = Patches { count: 2, size: 2, before: 1 };
        assert_eq!(values(&sums(&image, patches, patches).unwrap()), [0.0, 3.0, 9.0, 24.0]);
        let means = means(&image, patches, patches).unwrap();
        assert_eq!(values(&means), [0.0, 1.5, 4.5, 6.0]);
        let spread = spread(&means, patches, patches, (3, 3), false).unwrap();
        assert_eq!(values(&spread), [0.0, 1.5, 1.5, 4.5, 6.0, 6.0, 4.5, 6.0, 6.0]);
        // One patch in the middle.
        let middle = Patches { count: 1, size: 1, before: -1 };
        assert_eq!(values(&sums(&image, middle, middle).unwrap()), [4.0]);
    }

    #[test]
    fn a_ramp_is_interpolated_to_itself_between_centres() {
        let ramp = Tensor::arange(0f64, 8., &Device::Cpu).unwrap().reshape((1, 1, 1, 8)).unwrap();
        let (one, pairs) =
            (Patches { count: 1, size: 1, before: 0 }, Patches { count: 4, size: 2, before: 0 });
        let means = means(&ramp, one, pairs).unwrap();
        let found = values(&interpolate(&means, one, pairs, (1, 8)).unwrap());
        assert_eq!(found, [0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 6.5]);
    }
}
