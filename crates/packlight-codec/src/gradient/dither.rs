//! `dither:<s>`: the whole input, and an output gradient that is mostly zeros.
//!
//! Wiedemann, Mehari, Kepp and Samek, "Dithered backprop: a sparse and quantized backpropagation
//! algorithm for more efficient deep neural network training" (CVPR workshops 2020). The gradient of
//! a layer's output is rounded at random to multiples of `s` standard deviations of itself, so that
//! its mean stays. Where zeros are skipped this saves multiplications; it saves no memory. The paper
//! never subtracts its dither, and adding it before rounding to the nearest multiple is the same as
//! rounding down or up at random.
//!
//! A gradient without a finite deviation above 0 stays as it is.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::dither;
use packlight_record::LayerKind;

use crate::grammar::{Entry, Kind, Parameter};
use crate::identity::Identity;
use crate::{Bytes, Codec, Packed, Result, RewriteGradients, Scope, ShareKey, Site};

/// Its grammar.
pub const ENTRY: Entry = Entry {
    name: "dither",
    parameters: &[Parameter::new("s", Kind::Number(0.001, 1000.0), "step in standard deviations")],
    summary: "the whole input; rounds the output gradient to multiples of s deviations at random",
    examples: &["dither:2", "dither:0.5"],
    build: |values| Ok(Arc::new(Dither { deviations: values.get("s")? })),
};

/// Rounds output gradients to multiples of this many standard deviations.
#[derive(Debug)]
pub struct Dither {
    deviations: f64,
}

impl Codec for Dither {
    fn spec(&self) -> String {
        ENTRY.spec(&[&self.deviations])
    }

    fn scope(&self) -> Scope {
        Scope::Kinds(&[LayerKind::Conv, LayerKind::Linear])
    }

    fn bytes(&self, site: &Site<'_>, shape: &[usize], dtype: DType) -> Result<Option<Bytes>> {
        Identity.bytes(site, shape, dtype)
    }

    fn pack(&self, input: &Tensor, site: &mut Site<'_>) -> Result<Box<dyn Packed>> {
        Identity.pack(input, site)
    }

    fn share_key(&self, site: &Site<'_>, shape: &[usize]) -> ShareKey {
        Identity.share_key(site, shape)
    }

    fn gradients(&self) -> Option<&dyn RewriteGradients> {
        Some(self)
    }
}

impl RewriteGradients for Dither {
    fn output_grad(&self, grad: &Tensor, site: &mut Site<'_>) -> Result<Option<Tensor>> {
        let step = self.deviations * dither::deviation(grad)?;
        let usable = step.is_finite() && step > 0.0;
        Ok(usable.then(|| dither::dither(grad, step, site.key)).transpose()?)
    }
}
