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

use crate::quantised::KEEPERS;
use crate::registry::Entry;
use crate::{AxisLayout, Bytes, Codec, Context, Packed, Result, Scope};

/// How plans write it.
pub const ENTRY: Entry = Entry {
    pattern: "fp8",
    summary: "each value rounded to 8 bits (E4M3), one scale a tensor",
    examples: &["fp8"],
    parse: |spec| (spec == "fp8").then(|| Ok(Arc::new(Fp8) as _)),
};

/// Values of 8 bits.
#[derive(Debug)]
pub struct Fp8;

fn bytes(elements: usize) -> Bytes {
    Bytes { payload: elements, metadata: size_of::<f32>() }
}

impl Codec for Fp8 {
    fn name(&self) -> String {
        "fp8".into()
    }

    fn scope(&self) -> Scope {
        Scope::Kinds(KEEPERS)
    }

    fn bytes(&self, shape: &[usize], _: DType, _: AxisLayout) -> Result<Option<Bytes>> {
        Ok(Some(bytes(shape.iter().product())))
    }

    fn pack(&self, input: &Tensor, _: &mut Context<'_>) -> Result<Box<dyn Packed>> {
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
