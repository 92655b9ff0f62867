//! `pool<k>`: means over blocks of k x k pixels, or of k features.
//!
//! Barley and Fröning, "Less memory means smaller GPUs: backpropagation with compressed
//! activations", arXiv 2409.11902. An image keeps ceil(H/k) ceil(W/k) of its H W pixels per
//! channel; blocks at the edge average only what they hold. Unpacking repeats each mean over its
//! block, so that the restored tensor is the orthogonal projection of the saved one, and the
//! learning indicator equals the share of energy that is kept.
//!
//! The paper says neither how it treats edges nor how it upsamples, so both can be written after
//! the block size, in any order: `zero` counts the pixels that an edge block lacks as zeros, which
//! makes its mean too small (pooling twice is then not pooling once); `drop` keeps whole blocks only
//! and restores the rest as 0; `bilinear` interpolates between the blocks' centres.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::conv2d::{self, Conv2dGeometry};
use packlight_kernels::patches::{self, Patches};
use packlight_kernels::{block_pool, linear};
use packlight_record::LayerKind;

use crate::registry::Entry;
use crate::spec::{number, wrong};
use crate::{AxisLayout, Bytes, Codec, Context, Error, Packed, Result, Scope};

/// How plans write it.
pub const ENTRY: Entry = Entry {
    pattern: "pool<k>",
    summary: "means over k x k pixels or k features; `:zero`, `:drop`, `:bilinear` may follow",
    examples: &["pool2", "pool3", "pool4", "pool2:zero", "pool2:drop", "pool3:bilinear"],
    parse,
};

fn parse(spec: &str) -> Option<Result<Arc<dyn Codec>>> {
    let rest = spec.strip_prefix("pool")?;
    let (block, flags) = rest.split_once(':').unwrap_or((rest, ""));
    let expected = "a block size of at least 2 and at most 65536 after `pool`, as in `pool2` (`none` \
                    keeps everything),";
    let block = number(spec, block, 2..=65536, expected);
    let (mut edge, mut upsampling) = (None, None);
    for flag in flags.split(':').filter(|_| rest.contains(':')) {
        match flag {
            "zero" if edge.is_none() => edge = Some(Edge::Zero),
            "drop" if edge.is_none() => edge = Some(Edge::Drop),
            "bilinear" if upsampling.is_none() => upsampling = Some(Upsampling::Bilinear),
            _ => {
                let expected = "at most one of `zero` and `drop`, and `bilinear`, expected";
                return Some(Err(wrong(spec, format!("{expected}; `{flag}` found"))));
            }
        }
    }
    let (edge, upsampling) =
        (edge.unwrap_or(Edge::Valid), upsampling.unwrap_or(Upsampling::Nearest));
    Some(block.map(|block| Arc::new(Pool { block, edge, upsampling }) as _))
}

/// Average pooling over blocks of this many pixels each way, or features.
#[derive(Debug, Clone, Copy)]
pub struct Pool {
    block: usize,
    edge: Edge,
    upsampling: Upsampling,
}

/// What becomes of pixels that fill no whole block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edge {
    /// Their mean is kept.
    Valid,
    /// The mean with zeros for the pixels that are missing.
    Zero,
    /// Nothing.
    Drop,
}

/// How pixels come from means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upsampling {
    /// Each is its block's mean.
    Nearest,
    /// Those around it, by their distance.
    Bilinear,
}

impl Pool {
    fn misfit(&self, shape: &[usize], reason: &str) -> Error {
        Error::Shape { codec: self.name(), shape: shape.to_vec(), reason: reason.into() }
    }

    /// Blocks that are kept along an axis.
    fn blocks(&self, length: usize) -> usize {
        match self.edge {
            Edge::Drop => length / self.block,
            _ => length.div_ceil(self.block),
        }
    }

    /// The shape of the means.
    fn pooled(&self, shape: &[usize], axes: AxisLayout) -> Result<Vec<usize>> {
        match (axes, shape) {
            (AxisLayout::Images, &[n, c, h, w]) => Ok(vec![n, c, self.blocks(h), self.blocks(w)]),
            (AxisLayout::Images, _) => Err(self.misfit(shape, "images (N,C,H,W) expected")),
            (_, [tokens @ .., features]) => Ok([tokens, &[self.blocks(*features)]].concat()),
            (_, []) => Err(self.misfit(shape, "a scalar has no features")),
        }
    }

    /// The blocks as patches of an image of this shape; the features of a token are its one row.
    fn patches(&self, image: [usize; 4], axes: AxisLayout) -> (Patches, Patches) {
        let axis = |length| Patches { count: self.blocks(length), size: self.block, before: 0 };
        match axes {
            AxisLayout::Images => (axis(image[2]), axis(image[3])),
            _ => (Patches { count: 1, size: 1, before: 0 }, axis(image[3])),
        }
    }

    /// Pooling with the rule for edges; blocks lack no pixels, or zeros.
    fn pool_by_edge(&self, input: &Tensor, axes: AxisLayout) -> Result<Tensor> {
        let image = as_image(input.dims(), axes);
        let (rows, columns) = self.patches(image, axes);
        let sums = patches::sums(&input.reshape(&image)?, rows, columns)?;
        let means = (sums / (rows.size * columns.size) as f64)?;
        Ok(means.reshape(self.pooled(input.dims(), axes)?)?)
    }
}

/// The shape (N,C,H,W) of images, or (tokens,1,1,features).
fn as_image(shape: &[usize], axes: AxisLayout) -> [usize; 4] {
    match (axes, shape) {
        (AxisLayout::Images, &[n, c, h, w]) => [n, c, h, w],
        (_, [tokens @ .., features]) => [tokens.iter().product(), 1, 1, *features],
        (_, []) => [1; 4],
    }
}

impl Codec for Pool {
    fn name(&self) -> String {
        let edge = match self.edge {
            Edge::Valid => "",
            Edge::Zero => ":zero",
            Edge::Drop => ":drop",
        };
        let upsampling = match self.upsampling {
            Upsampling::Nearest => "",
            Upsampling::Bilinear => ":bilinear",
        };
        format!("pool{}{edge}{upsampling}", self.block)
    }

    /// Convolutions: the scope that explains the paper's figures.
    fn scope(&self) -> Scope {
        Scope::Kinds(&[LayerKind::Conv])
    }

    fn bytes(&self, shape: &[usize], dtype: DType, axes: AxisLayout) -> Result<Option<Bytes>> {
        let elements: usize = self.pooled(shape, axes)?.iter().product();
        Ok(Some(Bytes { payload: elements * dtype.size_in_bytes(), metadata: 0 }))
    }

    fn pack(&self, input: &Tensor, context: &mut Context<'_>) -> Result<Box<dyn Packed>> {
        let axes = context.axes;
        let means = match (self.edge, axes) {
            (Edge::Valid, AxisLayout::Images) => block_pool::pool(input, self.block)?,
            (Edge::Valid, _) => block_pool::pool_features(input, self.block)?,
            _ => self.pool_by_edge(input, axes)?,
        };
        Ok(Box::new(Means { means, pool: *self, shape: input.dims().to_vec(), axes }))
    }
}

struct Means {
    means: Tensor,
    pool: Pool,
    shape: Vec<usize>,
    axes: AxisLayout,
}

impl Means {
    /// Whether each pixel is restored as its block's mean.
    fn repeats(&self) -> bool {
        self.pool.upsampling == Upsampling::Nearest && self.pool.edge != Edge::Drop
    }
}

impl Packed for Means {
    fn bytes(&self) -> Bytes {
        Bytes { payload: self.means.elem_count() * self.means.dtype().size_in_bytes(), metadata: 0 }
    }

    fn unpack(&self) -> Result<Tensor> {
        if !self.repeats() {
            let image @ [n, c, h, w] = as_image(&self.shape, self.axes);
            let (rows, columns) = self.pool.patches(image, self.axes);
            let means = self.means.reshape((n, c, rows.count, columns.count))?;
            let restored = match self.pool.upsampling {
                Upsampling::Nearest => patches::spread(&means, rows, columns, (h, w), false)?,
                Upsampling::Bilinear => patches::interpolate(&means, rows, columns, (h, w))?,
            };
            return Ok(restored.reshape(&self.shape[..])?);
        }
        let block = self.pool.block;
        Ok(match (self.axes, &self.shape[..]) {
            (AxisLayout::Images, &[_, _, h, w]) => block_pool::unpool(&self.means, block, (h, w))?,
            (_, &[.., features]) => block_pool::unpool_features(&self.means, block, features)?,
            (_, []) => self.means.clone(),
        })
    }

    fn conv2d_weight_grad(
        &self,
        grad: &Tensor,
        weight_shape: &[usize],
        geometry: &Conv2dGeometry,
    ) -> Result<Tensor> {
        if !self.repeats() {
            return Ok(conv2d::weight_grad(&self.unpack()?, grad, weight_shape, geometry)?);
        }
        Ok(conv2d::weight_grad_from_pooled(
            &self.means,
            self.pool.block,
            &self.shape,
            grad,
            weight_shape,
            geometry,
        )?)
    }

    fn linear_weight_grad(&self, grad: &Tensor) -> Result<Tensor> {
        match self.shape.last() {
            Some(&width) if self.repeats() => {
                Ok(linear::weight_grad_from_pooled(&self.means, self.pool.block, width, grad)?)
            }
            _ => Ok(linear::weight_grad(&self.unpack()?, grad)?),
        }
    }
}
