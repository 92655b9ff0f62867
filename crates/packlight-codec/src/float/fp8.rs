//! `fp8`: each value in 8 bits with 4 of exponent (E4M3), under one scale for the tensor.
//!
//! As COAT (Xi et al., ICLR 2025) keeps the inputs of linear layers: the greatest magnitude becomes
//! 448, the greatest of E4M3, so that nothing saturates. What is not finite becomes NaN. The format
//! is that of Micikevicius et al., "FP8 formats for deep learning", arXiv 2209.05433, subnormals
//! included: a value keeps 4 significant bits down to 1/28,672 of the greatest magnitude, and below
//! that is off by at most 1/458,752 of it. Non-linear layers get one scale too, where COAT has one
//! for each group.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::fp8;

use crate::quantise::quantised::KEEPERS;
use crate::registry::Entry;
use crate::{Bytes, Codec, Packed, Result, Scope, Site};

/// How plans write it.
pub const ENTRY: Entry = Entry {
    name: "fp8",
    parameters: &[],
    summary: "each value rounded to 8 bits (E4M3), one scale per tensor",
    examples: &["fp8"],
    build: |_| Ok(Arc::new(Fp8)),
};

/// Values of 8 bits.
#[derive(Debug)]
pub struct Fp8;

fn bytes(elements: usize) -> Bytes {
    Bytes { payload: elements, metadata: size_of::<f32>() }
}

impl Codec for Fp8 {
    fn spec(&self) -> String {
        "fp8".into()
    }

    fn scope(&self) -> Scope {
        Scope::Kinds(KEEPERS)
    }

    fn bytes(&self, _: &Site<'_>, shape: &[usize], _: DType) -> Result<Option<Bytes>> {
        Ok(Some(bytes(shape.iter().product())))
    }

    fn pack(&self, input: &Tensor, _: &mut Site<'_>) -> Result<Box<dyn Packed>> {
        let (codes, scale) = fp8::pack(input)?;
        Ok(Box::new(Scaled { codes, scale, dtype: input.dtype() }))
    }
}

struct Scaled {
    codes: Tensor,
    scale: f32,
    dtype: DType,
}

impl Packed for Scaled {
    fn bytes(&self) -> Bytes {
        bytes(self.codes.elem_count())
    }

    fn unpack(&self) -> Result<Tensor> {
        Ok(fp8::unpack(&self.codes, self.scale, self.dtype)?)
    }
}
