//! `bsr:<block>:<density>`: the strongest blocks, in block-sparse rows.
//!
//! Barley and Fröning, "Compressing the backward pass of large-scale neural architectures by
//! structured activation pruning", arXiv 2311.16883. The saved tensor is seen as a matrix whose rows
//! are the tokens of a linear layer, as in the paper's ResMLP, or the channels of each sample of an
//! image, whose columns are then its pixels: both are how the tensor lies in memory. Of its blocks of
//! `block` x `block` elements those with the largest sums of magnitudes are kept, dense, with their
//! column (u32) and row pointers (u32). Blocks over the edge are padded with zeros, so that blocks larger than
//! the matrix take more than it does.
//!
//! A linear layer's weight gradient is computed from the blocks alone.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::block_sparse;
use packlight_record::LayerKind;

use crate::grammar::{Entry, Kind, Parameter};
use crate::sparse::share_of;
use crate::{AxisLayout, Bytes, Codec, Error, Op, Packed, Result, Scope, Site};

/// Its grammar.
pub const ENTRY: Entry = Entry {
    name: "bsr",
    parameters: &[
        Parameter::new("block", Kind::Whole(1, 256), "side of a block"),
        Parameter::new("density", Kind::Positive(1.0), "share of the blocks that is saved"),
    ],
    summary: "a share of the blocks, the strongest, in block-sparse rows",
    examples: &["bsr:8:0.5", "bsr:2:0.3", "bsr:3:1"],
    build: |values| {
        Ok(Arc::new(BlockSparse { block: values.get("block")?, density: values.get("density")? }))
    },
};

/// Keeps this share of the blocks of this side.
#[derive(Debug)]
pub struct BlockSparse {
    block: usize,
    density: f64,
}

impl BlockSparse {
    /// Rows of the matrix, rows of blocks, and how many blocks are kept.
    fn layout(&self, shape: &[usize], axes: AxisLayout) -> Result<(usize, usize, usize)> {
        let (rows, columns) = match (axes, shape) {
            (AxisLayout::Images, &[n, c, h, w]) => (n * c, h * w),
            (AxisLayout::Tokens | AxisLayout::Heads, &[ref tokens @ .., features]) => {
                (tokens.iter().product(), features)
            }
            _ => {
                return Err(Error::Shape {
                    codec: self.spec(),
                    shape: shape.to_vec(),
                    reason: "images (N,C,H,W) or tokens (..., features) expected".into(),
                });
            }
        };
        let high = rows.div_ceil(self.block);
        Ok((rows, high, share_of(self.density, high * columns.div_ceil(self.block))))
    }
}

impl Codec for BlockSparse {
    fn spec(&self) -> String {
        ENTRY.spec(&[&self.block, &self.density])
    }

    /// The paper's ResMLP consists of linear layers.
    fn scope(&self) -> Scope {
        Scope::Kinds(&[LayerKind::Linear])
    }

    fn bytes(&self, site: &Site<'_>, shape: &[usize], dtype: DType) -> Result<Option<Bytes>> {
        let (_, high, kept) = self.layout(shape, site.axes)?;
        Ok(Some(Bytes {
            payload: kept * self.block * self.block * dtype.size_in_bytes(),
            metadata: (kept + high + 1) * DType::U32.size_in_bytes(),
        }))
    }

    fn pack(&self, input: &Tensor, site: &mut Site<'_>) -> Result<Box<dyn Packed>> {
        let (rows, _, kept) = self.layout(input.dims(), site.axes)?;
        let matrix = block_sparse::BlockSparse::pack(input, rows, self.block, kept)?;
        Ok(Box::new(Blocks { matrix, shape: input.dims().to_vec() }))
    }
}

struct Blocks {
    matrix: block_sparse::BlockSparse,
    shape: Vec<usize>,
}

impl Packed for Blocks {
    fn bytes(&self) -> Bytes {
        let block_sparse::BlockSparse { blocks, columns, pointers, .. } = &self.matrix;
        Bytes::of_tensors([blocks], [columns, pointers])
    }

    fn is_apart(&self) -> bool {
        true
    }

    fn unpack(&self) -> Result<Tensor> {
        Ok(self.matrix.unpack(&self.shape)?)
    }

    fn gradient(&self, op: Op<'_>, output_grad: &Tensor) -> Result<Option<Tensor>> {
        let Op::Linear { .. } = op else { return Ok(None) };
        Ok(Some(self.matrix.linear_weight_grad(output_grad)?))
    }
}
