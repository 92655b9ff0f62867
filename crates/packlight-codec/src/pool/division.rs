//! `division:<k>:<b>`: means of k x k pixels, and b bits for what is left of each pixel.
//!
//! Wang et al., "DIVISION: memory efficient training via dual activation precision" (ICML 2023):
//! the low frequencies, block means in bf16, and the high frequencies, 2 bits a value rounded at
//! random over the range of each sample's channel (bf16 minimum and scale). `division` alone is
//! `division:8:2`. The authors pool only whole blocks, so that of a map of 14 x 14 they keep the
//! mean of one corner; here a block at the edge averages the pixels that it holds. Of a linear layer,
//! each token is a map, and a block is k k neighbouring features. A map that would take more bytes
//! packed than whole is saved whole; the authors save maps of height 1 whole.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::division::{self, Divided, Maps};
use packlight_kernels::quantise::Rounding;
use packlight_record::LayerKind;

use crate::grammar::{Entry, Kind, Parameter, Presence};
use crate::identity::Identity;
use crate::{AxisLayout, Bytes, Codec, Error, Packed, Result, Scope, Site};

/// Its grammar.
pub const ENTRY: Entry = Entry {
    name: "division",
    parameters: &[
        Parameter::new("k", Kind::Whole(2, 1024), "side of a block in pixels")
            .with(Presence::Default("8")),
        Parameter::new("b", Kind::Whole(1, 8), "bits per pixel for what is left")
            .with(Presence::Default("2")),
    ],
    summary: "means of k x k pixels, and b bits per pixel for what is left",
    examples: &["division", "division:8:8", "division:4:1"],
    build: |values| Ok(Arc::new(Division { block: values.get("k")?, bits: values.get("b")? })),
};

/// Block means, and codes of the residual.
#[derive(Debug)]
pub struct Division {
    block: usize,
    bits: u8,
}

impl Division {
    /// The maps of a tensor and their number; `None` if they are too small to gain.
    fn maps(
        &self,
        shape: &[usize],
        dtype: DType,
        axes: AxisLayout,
    ) -> Result<Option<(Maps, usize)>> {
        let misfit = |reason: &str| Error::Shape {
            codec: self.spec(),
            shape: shape.to_vec(),
            reason: reason.into(),
        };
        let (block, bits) = (self.block, self.bits);
        let (maps, count) = match (axes, shape) {
            (AxisLayout::Images, &[n, c, h, w]) => {
                (Maps { size: (h, w), block: (block, block), bits }, n * c)
            }
            (AxisLayout::Images, _) => return Err(misfit("images (N,C,H,W) expected")),
            (_, &[ref tokens @ .., features]) => {
                let maps = Maps { size: (1, features), block: (1, block * block), bits };
                (maps, tokens.iter().product())
            }
            (_, []) => return Err(misfit("a scalar has no features")),
        };
        let smaller = bytes_of_map(&maps).total() < maps.elements() * dtype.size_in_bytes();
        Ok(smaller.then_some((maps, count)))
    }
}

fn bytes_of_map(maps: &Maps) -> Bytes {
    // Each number of bf16 is two bytes; a map has two for its range.
    Bytes { payload: maps.code_bytes() + 2 * maps.blocks(), metadata: 4 }
}

impl Codec for Division {
    fn spec(&self) -> String {
        ENTRY.spec(&[&self.block, &self.bits])
    }

    /// What the paper's code packs with two precisions, and linear layers.
    fn scope(&self) -> Scope {
        Scope::Kinds(&[LayerKind::Conv, LayerKind::Linear, LayerKind::Norm])
    }

    fn bytes(&self, site: &Site<'_>, shape: &[usize], dtype: DType) -> Result<Option<Bytes>> {
        let Some((maps, count)) = self.maps(shape, dtype, site.axes)? else {
            return Identity.bytes(site, shape, dtype);
        };
        let map = bytes_of_map(&maps);
        Ok(Some(Bytes { payload: count * map.payload, metadata: count * map.metadata }))
    }

    fn pack(&self, input: &Tensor, site: &mut Site<'_>) -> Result<Box<dyn Packed>> {
        let Some((maps, count)) = self.maps(input.dims(), input.dtype(), site.axes)? else {
            return Identity.pack(input, site);
        };
        let divided = division::pack(input, &maps, Rounding::Stochastic(site.key))?;
        let (shape, dtype) = (input.dims().to_vec(), input.dtype());
        Ok(Box::new(MeansAndRest { divided, maps, count, shape, dtype }))
    }
}

struct MeansAndRest {
    divided: Divided,
    maps: Maps,
    count: usize,
    shape: Vec<usize>,
    dtype: DType,
}

impl Packed for MeansAndRest {
    fn bytes(&self) -> Bytes {
        let map = bytes_of_map(&self.maps);
        Bytes { payload: self.count * map.payload, metadata: self.count * map.metadata }
    }

    fn is_apart(&self) -> bool {
        true
    }

    fn unpack(&self) -> Result<Tensor> {
        Ok(division::unpack(&self.divided, &self.maps, &self.shape, self.dtype)?)
    }
}
