//! `svd:<eps>`: the batch as combinations of its leading singular vectors.
//!
//! Nguyen et al., "Activation map compression through tensor decomposition for deep learning",
//! NeurIPS 2024. Of the unfolding along the first axis (B, C H W) = U S V^T the K leading singular
//! values are saved, the fewest whose squares sum to at least a share eps of all: K (B + C H W)
//! numbers. The authors save U S and V^T; here the orthonormal factor is the one on the shorter side,
//! from the eigenvectors of that side's Gram matrix, and the product is the same. They restore the
//! input in the backward pass; here the output gradient is first contracted with U over the batch,
//! so that V acts as K samples.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::linear;
use packlight_kernels::mode_product::mode_product;
use packlight_record::LayerKind;

use crate::grammar::Entry;
use crate::low_rank::factors::{self, LowRank};
use crate::low_rank::scaling::squarable;
use crate::{Bytes, Codec, Packed, Result, Scope, Site};

/// Its grammar.
pub const ENTRY: Entry = Entry {
    name: "svd",
    parameters: &[factors::ENERGY],
    summary: "leading singular vectors of the batch that carry a share eps of its energy",
    examples: &["svd:0.8", "svd:0.9", "svd:1"],
    build: |values| Ok(Arc::new(Svd { energy: values.get("eps")? })),
};

/// The singular vectors of the batch with this share of its energy.
#[derive(Debug)]
pub struct Svd {
    energy: f64,
}

impl Codec for Svd {
    fn spec(&self) -> String {
        ENTRY.spec(&[&self.energy])
    }

    fn scope(&self) -> Scope {
        Scope::Kinds(&[LayerKind::Conv])
    }

    fn bytes(&self, site: &Site<'_>, shape: &[usize], _: DType) -> Result<Option<Bytes>> {
        factors::check(self, shape, site.axes)?;
        Ok(None)
    }

    fn bounds(&self, shape: &[usize], dtype: DType) -> [usize; 2] {
        let elements: usize = shape.iter().product();
        let samples = shape.first().copied().unwrap_or(1).max(1);
        let rest = elements / samples;
        [1, samples.min(rest)].map(|rank| rank * (samples + rest) * dtype.size_in_bytes())
    }

    fn pack(&self, input: &Tensor, site: &mut Site<'_>) -> Result<Box<dyn Packed>> {
        factors::check(self, input.dims(), site.axes)?;
        let shape = input.dims().to_vec();
        let (samples, rest) = (shape[0], shape[1..].iter().product());
        let (left, right) = if samples <= rest {
            let u = factors::leading_vectors(&squarable(input)?, 0, self.energy)?;
            let right = mode_product(input, &u.t()?, 0)?;
            (u, right)
        } else {
            let matrix = input.reshape((samples, rest))?;
            let v = factors::leading_vectors(&squarable(&matrix)?, 1, self.energy)?
                .t()?
                .contiguous()?;
            let axes = [&[v.dim(0)?], &shape[1..]].concat();
            (linear::forward(&matrix, &v, None)?, v.reshape(axes)?)
        };
        Ok(Box::new(LowRank { left, right, shape }))
    }
}
