//! `msnorm`: what a norm has normalised in the place of its input, shared with the layers behind it.
//!
//! Memory-sharing norms (MS-LN and MS-RMSNorm) of Yang, Wang, Zhang et al., "Reducing fine-tuning
//! memory overhead by approximate and memory-sharing backpropagation" (ICML 2024): a norm can compute
//! its gradient from its normalised values alone, and these are what the linear layer behind it keeps
//! once the norm's weight and bias are merged into that layer. Here weight and bias stay where they
//! are, so that parameters and gradients are the usual ones: the layers behind apply them to what is
//! kept when they need the norm's output, and a ReLU rectifies that again. Nothing is lost, at any
//! weight, 0 included. As long as the forward pass is at the next layer, the output stands beside the
//! normalised values.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::channel_affine::channel_affine;
use packlight_record::LayerKind;

use crate::identity::Identity;
use crate::registry::Entry;
use crate::{AxisLayout, Bytes, Codec, Context, Packed, Result, Scope};

/// How plans write it.
pub const ENTRY: Entry = Entry {
    pattern: "msnorm",
    summary: "the normalised values of norms, shared with the layers behind, and not their input",
    examples: &["msnorm"],
    parse: |spec| (spec == "msnorm").then(|| Ok(Arc::new(MergedNorm) as _)),
};

/// Keeps a norm's normalised values for the norm and the layers behind it.
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

    fn bytes(&self, shape: &[usize], dtype: DType, axes: AxisLayout) -> Result<Option<Bytes>> {
        Identity.bytes(shape, dtype, axes)
    }

    fn pack(&self, input: &Tensor, context: &mut Context<'_>) -> Result<Box<dyn Packed>> {
        Identity.pack(input, context)
    }

    fn packs_cells(&self) -> bool {
        true
    }
}

/// A norm's normalised values, packed, and what the norm does to them.
pub(crate) struct Merged {
    normalised: Box<dyn Packed>,
    weight: Tensor,
    bias: Tensor,
}

impl Merged {
    /// For a norm with this weight and bias, which are not copied.
    pub(crate) fn new(normalised: Box<dyn Packed>, weight: &Tensor, bias: &Tensor) -> Self {
        Self { normalised, weight: weight.clone(), bias: bias.clone() }
    }
}

impl Packed for Merged {
    fn bytes(&self) -> Bytes {
        self.normalised.bytes()
    }

    fn unpack(&self) -> Result<Tensor> {
        Ok(channel_affine(&self.normalised.unpack()?, &self.weight, &self.bias)?)
    }

    fn normalised(&self) -> Result<Tensor> {
        self.normalised.unpack()
    }
}
