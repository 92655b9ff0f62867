//! `msnorm`: the normalised values of a norm in place of its input, shared with the layers behind it.
//!
//! Memory-sharing norms (MS-LN and MS-RMSNorm) of Yang, Wang, Zhang et al., "Reducing fine-tuning
//! memory overhead by approximate and memory-sharing backpropagation" (ICML 2024): a norm can compute
//! its gradient from its normalised values alone, and these are what the linear layer behind it saves
//! once the norm's weight and bias are merged into that layer. Here weight and bias stay where they
//! are, so that parameters and gradients are the usual ones: the layers behind apply them to the saved
//! values when they need the norm's output, and a ReLU rectifies that again. Nothing is lost, whatever
//! the weight, even 0. While the forward pass runs the next layer, the output exists beside the
//! normalised values.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::channel_affine::channel_affine;
use packlight_record::LayerKind;

use crate::grammar::Entry;
use crate::identity::Identity;
use crate::{Bytes, Codec, PackNormOutput, Packed, PackedNorm, Result, Scope, ShareKey, Site};

/// Its grammar.
pub const ENTRY: Entry = Entry {
    name: "msnorm",
    parameters: &[],
    summary: "the normalised values of norms in place of their input, shared with the layers behind",
    examples: &["msnorm"],
    build: |_| Ok(Arc::new(MergedNorm)),
};

/// Saves a norm's normalised values for the norm and the layers behind it.
#[derive(Debug)]
pub struct MergedNorm;

impl Codec for MergedNorm {
    fn spec(&self) -> String {
        ENTRY.name.into()
    }

    fn scope(&self) -> Scope {
        use LayerKind::{Conv, Linear, Norm, Relu};
        Scope::Kinds(&[Norm, Relu, Conv, Linear])
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

    fn norm_output(&self) -> Option<&dyn PackNormOutput> {
        Some(self)
    }
}

impl PackNormOutput for MergedNorm {
    fn norm_bytes(&self, normalised: &[usize], dtype: DType) -> Option<Bytes> {
        Some(crate::identity::bytes(normalised, dtype))
    }

    fn pack_norm_output(
        &self,
        normalised: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &mut Site<'_>,
    ) -> Result<Box<dyn PackedNorm>> {
        let [normalised, weight, bias] = [normalised, weight, bias].map(Tensor::clone);
        Ok(Box::new(Merged { normalised, weight, bias }))
    }
}

/// A norm's normalised values, and its weight and bias, which are not copied.
struct Merged {
    normalised: Tensor,
    weight: Tensor,
    bias: Tensor,
}

impl PackedNorm for Merged {
    fn bytes(&self) -> Bytes {
        Bytes::of_tensors([&self.normalised], [])
    }

    fn normalised(&self) -> Result<Tensor> {
        Ok(self.normalised.clone())
    }

    fn output(&self) -> Result<Tensor> {
        Ok(channel_affine(&self.normalised, &self.weight, &self.bias)?)
    }
}
