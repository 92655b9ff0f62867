//! `resprop:<keep>`: the whole input, and an output gradient that differs from the last one's only
//! where they differ most.
//!
//! Goli and Aamodt, "ReSprop: reuse sparsified backpropagation" (CVPR 2020): the gradient of a
//! layer's output is taken to be that of the step before, plus the largest magnitudes of the
//! difference. Meant to save multiplications, since what the reused part gives is known beforehand;
//! it needs more memory, not less: the last gradient of each layer's output, which the ledger counts
//! as the codec's memory. The first step, and one after a batch of another size, is exact.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::{accumulate, top_k};
use packlight_record::LayerKind;

use crate::identity::Identity;
use crate::registry::Entry;
use crate::spec::{only, share, share_of};
use crate::{AxisLayout, Bytes, Codec, Context, Packed, Result, Scope};

/// How plans write it.
pub const ENTRY: Entry = Entry {
    pattern: "resprop:<keep>",
    summary: "the whole input; the last output gradient and a share of its change (needs more memory)",
    examples: &["resprop:0.1"],
    parse,
};

/// The name under which the last gradient is remembered.
const LAST: &str = "output_grad";

fn parse(spec: &str) -> Option<Result<Arc<dyn Codec>>> {
    let keep = only(spec, "resprop", "resprop:0.1")?.and_then(|keep| share(spec, keep));
    Some(keep.map(|keep| Arc::new(Resprop { keep }) as _))
}

/// Takes over this share of each change of the output gradient.
#[derive(Debug)]
pub struct Resprop {
    keep: f64,
}

impl Codec for Resprop {
    fn name(&self) -> String {
        format!("resprop:{}", self.keep)
    }

    fn packs_as(&self) -> String {
        Identity.name()
    }

    fn scope(&self) -> Scope {
        Scope::Kinds(&[LayerKind::Conv, LayerKind::Linear])
    }

    fn bytes(&self, shape: &[usize], dtype: DType, axes: AxisLayout) -> Result<Option<Bytes>> {
        Identity.bytes(shape, dtype, axes)
    }

    fn pack(&self, input: &Tensor, context: &mut Context<'_>) -> Result<Box<dyn Packed>> {
        Identity.pack(input, context)
    }

    fn output_grad(&self, grad: &Tensor, context: &mut Context<'_>) -> Result<Option<Tensor>> {
        let last = context.state.get(LAST).cloned();
        context.state.set(LAST, grad);
        let alike = |last: &Tensor| last.dims() == grad.dims() && last.dtype() == grad.dtype();
        let Some(last) = last.filter(alike) else { return Ok(None) };
        let change = (grad - &last)?;
        let change = top_k::largest(&change, share_of(self.keep, change.elem_count()))?;
        Ok(Some(accumulate::add(&last, &change)?))
    }
}
