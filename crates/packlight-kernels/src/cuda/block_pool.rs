//! [`block_pool`](crate::block_pool) on a CUDA device. The features of a token are a plane of one row.

use candle_core::Tensor;

use super::{Call, Gpu, Launch};
use crate::Result;

/// `block_pool::pool`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn pool(gpu: &dyn Gpu, images: &Tensor, block: usize) -> Result<Tensor> {
    let (n, c, height, width) = images.dims4()?;
    let planes = Planes::of(n * c, height, width, block);
    planes.means(gpu, images, &[n, c, planes.rows, planes.columns])
}

/// `block_pool::unpool`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn unpool(
    gpu: &dyn Gpu,
    pooled: &Tensor,
    block: usize,
    (height, width): (usize, usize),
) -> Result<Tensor> {
    let (n, c, _, _) = pooled.dims4()?;
    Planes::of(n * c, height, width, block).copies(gpu, pooled, &[n, c, height, width])
}

/// `block_pool::pool_features` to tokens of this shape.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn pool_features(
    gpu: &dyn Gpu,
    tokens: &Tensor,
    block: usize,
    shape: &[usize],
) -> Result<Tensor> {
    let width = tokens.dims().last().copied().unwrap_or(1);
    let lines = shape[..shape.len() - 1].iter().product();
    Planes::of(lines, 1, width, block).means(gpu, tokens, shape)
}

/// `block_pool::unpool_features` to tokens of this shape.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn unpool_features(
    gpu: &dyn Gpu,
    pooled: &Tensor,
    block: usize,
    shape: &[usize],
) -> Result<Tensor> {
    let width = shape[shape.len() - 1];
    let lines = shape[..shape.len() - 1].iter().product();
    Planes::of(lines, 1, width, block).copies(gpu, pooled, shape)
}

/// Planes, and the blocks that they are divided into.
struct Planes {
    count: usize,
    height: usize,
    width: usize,
    rows: usize,
    columns: usize,
    block: usize,
}

impl Planes {
    fn of(count: usize, height: usize, width: usize, block: usize) -> Self {
        let (rows, columns) = (height.div_ceil(block), width.div_ceil(block));
        // A larger one is the whole plane.
        let block = block.min(height.max(width));
        Self { count, height, width, rows, columns, block }
    }

    fn means(&self, gpu: &dyn Gpu, images: &Tensor, shape: &[usize]) -> Result<Tensor> {
        self.call(gpu, "block_pool_means", images, shape, self.count * self.rows * self.columns)
    }

    fn copies(&self, gpu: &dyn Gpu, pooled: &Tensor, shape: &[usize]) -> Result<Tensor> {
        self.call(gpu, "block_pool_copies", pooled, shape, self.count * self.height * self.width)
    }

    fn call(
        &self,
        gpu: &dyn Gpu,
        name: &'static str,
        from: &Tensor,
        shape: &[usize],
        count: usize,
    ) -> Result<Tensor> {
        let [result] = Call::typed(name, from.dtype(), Launch::elements(count))?
            .input(from)
            .output(shape)
            .size(count)
            .size(self.height)
            .size(self.width)
            .size(self.rows)
            .size(self.columns)
            .size(self.block)
            .run(gpu)?;
        Ok(result)
    }
}
