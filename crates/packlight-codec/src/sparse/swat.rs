//! `swat:<keep>`: the largest weights and the largest activations.
//!
//! Raihan and Aamodt, "Sparse weight activation training" (SWAT, NeurIPS 2020). Forward pass and
//! input gradient compute with the largest magnitudes of the weight alone, so **the forward pass
//! changes**, in evaluation as in training; the weight's gradient, which goes to all of the weight,
//! is computed from the largest magnitudes of the input. The paper trains for fewer multiplications;
//! here the input is also saved sparsely, with one bit for each element.
//!
//! One share serves weights and activations (the authors set them apart), of each layer alike, and
//! thresholds are exact at every step, where the authors' code reuses them for a period.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::top_k;
use packlight_record::LayerKind;

use crate::grammar::{Entry, Kind, Parameter};
use crate::sparse::masked::Masked;
use crate::sparse::share_of;
use crate::{Bytes, Codec, Packed, Result, RewriteOperands, Scope, Site};

/// Its grammar.
pub const ENTRY: Entry = Entry {
    name: "swat",
    parameters: &[Parameter::new(
        "keep",
        Kind::Positive(1.0),
        "share of weights and activations that counts",
    )],
    summary: "the largest magnitudes of the input; computes with those of the weight alone",
    examples: &["swat:0.2", "swat:1"],
    build: |values| Ok(Arc::new(Swat { keep: values.get("keep")? })),
};

/// Keeps this share of the weights and of the activations.
#[derive(Debug)]
pub struct Swat {
    keep: f64,
}

impl Codec for Swat {
    fn spec(&self) -> String {
        ENTRY.spec(&[&self.keep])
    }

    fn scope(&self) -> Scope {
        Scope::Kinds(&[LayerKind::Conv, LayerKind::Linear])
    }

    fn bytes(&self, _: &Site<'_>, shape: &[usize], dtype: DType) -> Result<Option<Bytes>> {
        let elements = shape.iter().product();
        let payload = share_of(self.keep, elements) * dtype.size_in_bytes();
        Ok(Some(Bytes { payload, metadata: elements.div_ceil(8) }))
    }

    fn pack(&self, input: &Tensor, _: &mut Site<'_>) -> Result<Box<dyn Packed>> {
        let mask = top_k::mask(input, 1, share_of(self.keep, input.elem_count()))?;
        Ok(Box::new(Masked::new(input, mask)?))
    }

    fn operands(&self) -> Option<&dyn RewriteOperands> {
        Some(self)
    }
}

impl RewriteOperands for Swat {
    fn weight(&self, weight: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(top_k::largest(weight, share_of(self.keep, weight.elem_count()))?))
    }
}
