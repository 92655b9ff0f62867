//! `resprop:<keep>`: the whole input, and an output gradient that differs from the last one's only
//! where they differ most.
//!
//! Goli and Aamodt, "ReSprop: reuse sparsified backpropagation" (CVPR 2020): the gradient of a
//! layer's output is taken to be that of the step before, plus the largest magnitudes of the
//! difference. It is meant to save multiplications, since the result of the reused part is known. It
//! needs more memory, not less: the last gradient of each layer's output, which the ledger counts
//! as the codec's state. The first step, and one after a batch of another size, is exact.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::{accumulate, top_k};
use packlight_record::LayerKind;

use crate::grammar::{Entry, Kind, Parameter};
use crate::identity::Identity;
use crate::sparse::share_of;
use crate::{Bytes, Codec, Packed, Result, RewriteGradients, Scope, ShareKey, Site};

/// Its grammar.
pub const ENTRY: Entry = Entry {
    name: "resprop",
    parameters: &[Parameter::new(
        "keep",
        Kind::Positive(1.0),
        "share of each change that is taken over",
    )],
    summary: "the whole input; the last output gradient and a share of its change (needs more memory)",
    examples: &["resprop:0.1"],
    build: |values| Ok(Arc::new(Resprop { keep: values.get("keep")? })),
};

/// The name under which the last gradient is stored.
const LAST: &str = "output_grad";

/// Takes over this share of each change of the output gradient.
#[derive(Debug)]
pub struct Resprop {
    keep: f64,
}

impl Codec for Resprop {
    fn spec(&self) -> String {
        ENTRY.spec(&[&self.keep])
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

impl RewriteGradients for Resprop {
    fn output_grad(&self, grad: &Tensor, site: &mut Site<'_>) -> Result<Option<Tensor>> {
        let last = site.state.get(LAST).cloned();
        site.state.set(LAST, grad);
        let alike = |last: &Tensor| last.dims() == grad.dims() && last.dtype() == grad.dtype();
        let Some(last) = last.filter(alike) else { return Ok(None) };
        let change = (grad - &last)?;
        let change = top_k::largest(&change, share_of(self.keep, change.elem_count()))?;
        Ok(Some(accumulate::add(&last, &change)?))
    }
}
