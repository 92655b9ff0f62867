//! `pool<k>`: means over blocks of k x k pixels, or of k features.
//!
//! Barley and Fröning, "Less memory means smaller GPUs: backpropagation with compressed
//! activations", arXiv 2409.11902. An image is saved as ceil(H/k) ceil(W/k) means per channel; a
//! block at the edge averages the pixels that it holds. Unpacking repeats each mean over its block.
//! The restored tensor is thus the orthogonal projection of the saved one, and the learning
//! indicator equals the share of its energy that is kept.
//!
//! The paper specifies neither edges nor upsampling, so a plan may choose both, in any order: `zero`
//! counts missing pixels of an edge block as zeros, which makes its mean too small; `drop` saves
//! whole blocks only and restores the rest as 0; `bilinear` interpolates between block centres.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::patches::{self, Patches};
use packlight_kernels::{block_pool, conv2d, linear};
use packlight_record::LayerKind;

use crate::grammar::{Entry, Kind, Parameter, Presence};
use crate::{AxisLayout, Bytes, Codec, Error, Op, Packed, Result, Scope, Site};

/// Its grammar.
pub const ENTRY: Entry = Entry {
    name: "pool",
    parameters: &[
        Parameter::new("k", Kind::Whole(2, 65536), "side of a block in pixels, or its features")
            .with(Presence::Attached),
        Parameter::words(
            &["zero", "drop"],
            "edge blocks count missing pixels as zeros, or are dropped",
        ),
        Parameter::words(&["bilinear"], "interpolates between the blocks' centres"),
    ],
    summary: "means over k x k pixels or k features",
    examples: &["pool2", "pool3", "pool4", "pool2:zero", "pool2:drop", "pool3:bilinear"],
    build: |values| {
        let edge = match (values.has("zero"), values.has("drop")) {
            (true, _) => Edge::Zero,
            (_, true) => Edge::Drop,
            _ => Edge::Valid,
        };
        let upsampling =
            if values.has("bilinear") { Upsampling::Bilinear } else { Upsampling::Nearest };
        Ok(Arc::new(Pool { block: values.get("k")?, edge, upsampling }))
    },
};

/// Average pooling over blocks of this many pixels each way, or features.
#[derive(Debug, Clone, Copy)]
pub struct Pool {
    block: usize,
    edge: Edge,
    upsampling: Upsampling,
}

/// The treatment of a block at the edge that is not whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edge {
    /// The mean of the pixels that it holds.
    Valid,
    /// The mean with zeros for missing pixels.
    Zero,
    /// Not saved.
    Drop,
}

/// How means become pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upsampling {
    /// Each pixel is the mean of its block.
    Nearest,
    /// Each pixel interpolates between the nearest means.
    Bilinear,
}

impl Pool {
    fn misfit(&self, shape: &[usize], reason: &str) -> Error {
        Error::Shape { codec: self.spec(), shape: shape.to_vec(), reason: reason.into() }
    }

    /// The number of blocks along an axis.
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

    /// Pools with zeros for missing pixels, or whole blocks only.
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
    fn spec(&self) -> String {
        let edge = match self.edge {
            Edge::Valid => "",
            Edge::Zero => "zero",
            Edge::Drop => "drop",
        };
        let upsampling = match self.upsampling {
            Upsampling::Nearest => "",
            Upsampling::Bilinear => "bilinear",
        };
        ENTRY.spec(&[&self.block, &edge, &upsampling])
    }

    /// Convolutions: the scope that explains the paper's figures.
    fn scope(&self) -> Scope {
        Scope::Kinds(&[LayerKind::Conv])
    }

    fn bytes(&self, site: &Site<'_>, shape: &[usize], dtype: DType) -> Result<Option<Bytes>> {
        let elements: usize = self.pooled(shape, site.axes)?.iter().product();
        Ok(Some(Bytes { payload: elements * dtype.size_in_bytes(), metadata: 0 }))
    }

    fn pack(&self, input: &Tensor, site: &mut Site<'_>) -> Result<Box<dyn Packed>> {
        let axes = site.axes;
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
        Bytes::of_tensors([&self.means], [])
    }

    fn is_apart(&self) -> bool {
        true
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

    fn gradient(&self, op: Op<'_>, output_grad: &Tensor) -> Result<Option<Tensor>> {
        if !self.repeats() {
            return Ok(None);
        }
        let (block, shape) = (self.pool.block, &self.shape[..]);
        Ok(match (op, shape) {
            (Op::Conv2d { weight_shape, geometry }, _) => Some(conv2d::weight_grad_from_pooled(
                &self.means,
                block,
                shape,
                output_grad,
                weight_shape,
                &geometry,
            )?),
            (Op::Linear { .. }, &[.., features]) => {
                Some(linear::weight_grad_from_pooled(&self.means, block, features, output_grad)?)
            }
            _ => None,
        })
    }
}
