//! `fp8`: each value in 8 bits with 4 of exponent (E4M3), under one scale for the tensor.
//!
//! As COAT (Xi et al., ICLR 2025) saves the inputs of linear layers: the largest magnitude is scaled to
//! 448, the largest of E4M3, so that nothing saturates. A value that is not finite becomes NaN. The
//! format is that of Micikevicius et al., "FP8 formats for deep learning", arXiv 2209.05433, with
//! subnormals: a value keeps 4 significant bits down to 1/28,672 of the largest magnitude, and below
//! that is off by at most 1/458,752 of it. Other layers get one scale per tensor too, where COAT has
//! one per group.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::fp8;
use packlight_record::LayerKind;

use crate::grammar::Entry;
use crate::{Bytes, Codec, Packed, Result, Scope, Site};

/// Its grammar.
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
        ENTRY.name.into()
    }

    fn scope(&self) -> Scope {
        Scope::Kinds(&LayerKind::PACKABLE)
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
