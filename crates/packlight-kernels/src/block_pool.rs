//! Pooling of saved activations: means over blocks, and their copies over the block.
//!
//! Blocks at the edge average only the elements that they hold. Unpooling repeats a mean over its
//! block and crops to the size, so unpool(pool(x)) is an orthogonal projection for every size.
//! Barley and Fröning, arXiv 2409.11902.

use candle_core::Tensor;

use crate::cuda::on_cuda;
use crate::dtype::Element;
use crate::par_vec::build_planes;
use crate::tensor_io::{by_dtype, count, read};
use crate::{Error, Result};

const KERNEL: &str = "block_pool";

/// Means of images (N,C,H,W) over `block` x `block` pixels: (N,C,ceil(H/block),ceil(W/block)).
///
/// # Errors
/// Returns an error if the rank is not 4, `block` is 0, or the type or device is not supported.
pub fn pool(images: &Tensor, block: usize) -> Result<Tensor> {
    check(block)?;
    let (n, c, height, width) = images.dims4()?;
    on_cuda!(images => block_pool::pool(images, block));
    let (rows, columns) = (height.div_ceil(block), width.div_ceil(block));
    let block = block.min(height.max(width));
    let device = images.device();
    by_dtype!(KERNEL, images, T => {
        read!(KERNEL; images: T);
        let (to, from) = ((n * c, rows * columns), (images, height * width));
        let pooled = build_planes(to, from, width, |plane, pooled, line| {
            for (band, means) in plane.chunks(block * width).zip(pooled.chunks_exact_mut(columns)) {
                line.copy_from_slice(&band[..width]);
                for row in band[width..].chunks_exact(width) {
                    for (sum, value) in line.iter_mut().zip(row) {
                        *sum += *value;
                    }
                }
                mean_blocks(line, block, band.len() / width, means);
            }
        });
        Ok(Tensor::from_vec(pooled, (n, c, rows, columns), device)?)
    })
}

/// The inverse of [`pool`] up to projection: images (N,C,`size`) that are constant on each block.
///
/// # Errors
/// Returns an error if the shapes do not fit, or the type or device is not supported.
pub fn unpool(pooled: &Tensor, block: usize, size: (usize, usize)) -> Result<Tensor> {
    check(block)?;
    let (n, c, rows, columns) = pooled.dims4()?;
    let (height, width) = size;
    if (rows, columns) != (height.div_ceil(block), width.div_ceil(block)) {
        return Err(Error::shape(
            KERNEL,
            format!("({rows}, {columns}) blocks of {block} do not make up {size:?}"),
        ));
    }
    count(KERNEL, &[n, c, height, width])?;
    on_cuda!(pooled => block_pool::unpool(pooled, block, size));
    let block = block.min(height.max(width));
    let device = pooled.device();
    by_dtype!(KERNEL, pooled, T => {
        read!(KERNEL; pooled: T);
        let (to, from) = ((n * c, height * width), (pooled, rows * columns));
        let images = build_planes(to, from, 0, |means, plane, _| {
            for (band, means) in plane.chunks_mut(block * width).zip(means.chunks_exact(columns)) {
                let (first, rest) = band.split_at_mut(width);
                repeat_blocks(means, block, first);
                for row in rest.chunks_exact_mut(width) {
                    row.copy_from_slice(first);
                }
            }
        });
        Ok(Tensor::from_vec(images, (n, c, height, width), device)?)
    })
}

/// Means of the last axis over `block` neighbours: (..., n) becomes (..., ceil(n/block)).
///
/// # Errors
/// Returns an error if the tensor is a scalar, `block` is 0, or the type or device is not
/// supported.
pub fn pool_features(tokens: &Tensor, block: usize) -> Result<Tensor> {
    check(block)?;
    let (mut shape, width) = last_axis(tokens)?;
    let columns = width.div_ceil(block);
    let lines = shape.iter().product();
    shape.push(columns);
    on_cuda!(tokens => block_pool::pool_features(tokens, block, &shape));
    let device = tokens.device();
    by_dtype!(KERNEL, tokens, T => {
        read!(KERNEL; tokens: T);
        let pooled = build_planes((lines, columns), (tokens, width), 0, |line, means, _| {
            mean_blocks(line, block, 1, means);
        });
        Ok(Tensor::from_vec(pooled, shape, device)?)
    })
}

/// The inverse of [`pool_features`] up to projection: (..., `width`).
///
/// # Errors
/// Returns an error if the shapes do not fit, or the type or device is not supported.
pub fn unpool_features(pooled: &Tensor, block: usize, width: usize) -> Result<Tensor> {
    check(block)?;
    let (mut shape, columns) = last_axis(pooled)?;
    if columns != width.div_ceil(block) {
        return Err(Error::shape(
            KERNEL,
            format!("{columns} blocks of {block} do not make up {width}"),
        ));
    }
    let lines = shape.iter().product();
    shape.push(width);
    count(KERNEL, &shape)?;
    on_cuda!(pooled => block_pool::unpool_features(pooled, block, &shape));
    let device = pooled.device();
    by_dtype!(KERNEL, pooled, T => {
        read!(KERNEL; pooled: T);
        let tokens = build_planes((lines, width), (pooled, columns), 0, |means, line, _| {
            repeat_blocks(means, block, line);
        });
        Ok(Tensor::from_vec(tokens, shape, device)?)
    })
}

fn check(block: usize) -> Result<()> {
    if block == 0 {
        return Err(Error::shape(KERNEL, "a block must hold at least one element"));
    }
    Ok(())
}

/// The leading axes of a tensor and the length of its last one.
fn last_axis(tensor: &Tensor) -> Result<(Vec<usize>, usize)> {
    match tensor.dims().split_last() {
        Some((&last, leading)) => Ok((leading.to_vec(), last)),
        None => Err(Error::shape(KERNEL, "a scalar has no features to pool")),
    }
}

/// Means over blocks of a line whose elements are each a sum over `rows` elements.
fn mean_blocks<T: Element>(line: &[T], block: usize, rows: usize, means: &mut [T]) {
    match block {
        2 => mean_full_blocks::<T, 2>(line, rows, means),
        4 => mean_full_blocks::<T, 4>(line, rows, means),
        _ => {
            for (chunk, mean) in line.chunks(block).zip(means) {
                *mean = mean_of(chunk, rows);
            }
        }
    }
}

fn mean_full_blocks<T: Element, const N: usize>(line: &[T], rows: usize, means: &mut [T]) {
    let (blocks, rest) = line.as_chunks::<N>();
    let scale = T::narrow(1.0 / (N * rows) as f64);
    for (block, mean) in blocks.iter().zip(means.iter_mut()) {
        *mean = block.iter().copied().fold(T::zero(), |a, b| a + b) * scale;
    }
    if !rest.is_empty() {
        means[blocks.len()] = mean_of(rest, rows);
    }
}

fn mean_of<T: Element>(chunk: &[T], rows: usize) -> T {
    let sum = chunk.iter().copied().fold(T::zero(), |a, b| a + b);
    sum / T::narrow((chunk.len() * rows) as f64)
}

fn repeat_blocks<T: Element>(means: &[T], block: usize, line: &mut [T]) {
    for (chunk, mean) in line.chunks_mut(block).zip(means) {
        chunk.fill(*mean);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Key, Purpose};
    use candle_core::Device;
    use proptest::prelude::*;

    fn sample(count: usize, seed: u64) -> Vec<f64> {
        let mut stream = Key::new(seed, Purpose::Sample).stream();
        (0..count).map(|_| stream.normal()).collect()
    }

    fn dot(a: &Tensor, b: &Tensor) -> f64 {
        (a * b).unwrap().sum_all().unwrap().to_scalar().unwrap()
    }

    #[test]
    fn edge_blocks_average_only_what_they_hold() {
        let image = Tensor::arange(0f64, 9., &Device::Cpu).unwrap().reshape((1, 1, 3, 3)).unwrap();
        let pooled = pool(&image, 2).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
        assert_eq!(pooled, [2.0, 3.5, 6.5, 8.0]);
    }

    #[test]
    fn errors_say_what_is_wrong() {
        let image = Tensor::zeros((1, 1, 3, 3), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(pool(&image, 0).unwrap_err().to_string().contains("at least one element"));
        assert!(unpool(&image, 2, (9, 9)).unwrap_err().to_string().contains("do not make up"));
        let one = image.narrow(2, 0, 1).unwrap().narrow(3, 0, 1).unwrap();
        let error = unpool(&one, usize::MAX, (1 << 40, 1 << 40)).unwrap_err().to_string();
        assert!(error.contains("has too many elements"), "{error}");
        let features = image.narrow(3, 0, 1).unwrap();
        assert!(unpool_features(&features, usize::MAX, usize::MAX).is_err());
    }

    #[test]
    fn a_block_of_any_size_is_at_most_the_whole_image() {
        let image = Tensor::arange(0f64, 8., &Device::Cpu).unwrap().reshape((1, 1, 2, 4)).unwrap();
        for block in [4, 1 << 62, 1 << 63, usize::MAX] {
            let pooled = pool(&image, block).unwrap();
            assert_eq!(pooled.flatten_all().unwrap().to_vec1::<f64>().unwrap(), [3.5]);
            let restored = unpool(&pooled, block, (2, 4)).unwrap();
            assert_eq!(restored.flatten_all().unwrap().to_vec1::<f64>().unwrap(), [3.5; 8]);
        }
    }

    proptest! {
        #[test]
        fn pooling_is_an_orthogonal_projection(
            h in 1usize..12, w in 1usize..12, block in 1usize..6, seed in 0u64..100,
        ) {
            let x = Tensor::from_vec(sample(2 * h * w, seed), (1, 2, h, w), &Device::Cpu).unwrap();
            let project = |x: &Tensor| unpool(&pool(x, block).unwrap(), block, (h, w)).unwrap();
            let once = project(&x);
            let twice = project(&once);
            let gap = (&once - &twice).unwrap();
            prop_assert!(dot(&gap, &gap) < 1e-24);
            prop_assert!(dot(&(&x - &once).unwrap(), &once).abs() < 1e-12 * (1.0 + dot(&x, &x)));
        }

        #[test]
        fn features_pool_as_a_row_of_blocks(n in 1usize..20, block in 1usize..6, seed in 0u64..100) {
            let x = Tensor::from_vec(sample(3 * n, seed), (3, n), &Device::Cpu).unwrap();
            let restored = unpool_features(&pool_features(&x, block).unwrap(), block, n).unwrap();
            prop_assert!(dot(&(&x - &restored).unwrap(), &restored).abs() < 1e-12 * (1.0 + dot(&x, &x)));
        }
    }
}
