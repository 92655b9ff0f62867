//! `msnorm`: a norm's output in the place of its input, shared with the layers behind it.
//!
//! The idea of memory-sharing norms (MS-LN and MS-RMSNorm; "Reducing fine-tuning memory overhead by
//! approximate and memory-sharing backpropagation", ICML 2024): the layer behind a norm keeps the
//! norm's output anyway, and the norm can compute its own gradient from it. The authors move the
//! norm's weight and bias into that layer; here they stay where they are and are undone in the
//! backward pass, so that parameters and gradients are the usual ones. Behind a ReLU the output is
//! rectified again (as in in-place activated batch norm; Rota Bulò et al., CVPR 2018). Nothing is
//! lost but rounding, and the gradient of channels whose weight is 0.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_record::LayerKind;

use crate::identity::Identity;
use crate::registry::Entry;
use crate::{Bytes, Codec, Context, InputForm, Packed, Result, Scope};

/// How plans write it.
pub const ENTRY: Entry = Entry {
    pattern: "msnorm",
    summary: "the whole output of norms, shared with the layers behind, and not their input",
    examples: &["msnorm"],
    parse: |spec| (spec == "msnorm").then(|| Ok(Arc::new(MergedNorm) as _)),
};

/// Keeps a norm's output for the norm and the layers behind it.
#[derive(Debug)]
pub struct MergedNorm;

impl Codec for MergedNorm {
    fn name(&self) -> String {
        "msnorm".into()
    }

    fn packs_as(&self) -> String {
        Identity.name()
    }

    fn scope(&self) -> Scope {
        use LayerKind::{Conv, Linear, Norm, Relu};
        Scope::Kinds(&[Norm, Relu, Conv, Linear])
    }

    fn bytes(&self, shape: &[usize], dtype: DType, form: InputForm) -> Result<Option<Bytes>> {
        Identity.bytes(shape, dtype, form)
    }

    fn pack(&self, input: &Tensor, context: &mut Context<'_>) -> Result<Box<dyn Packed>> {
        Identity.pack(input, context)
    }

    fn packs_cells(&self) -> bool {
        true
    }
}
