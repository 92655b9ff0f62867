//! `bf16`: each value in 16 bits.
//!
//! Rounded to the nearest, ties to even, by candle's own conversion: 8 bits of precision over the
//! whole range of f32.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_record::LayerKind;

use crate::grammar::Entry;
use crate::{Bytes, Codec, Packed, Result, Scope, Site};

/// Its grammar.
pub const ENTRY: Entry = Entry {
    name: "bf16",
    parameters: &[],
    summary: "each value rounded to 16 bits (bf16)",
    examples: &["bf16"],
    build: |_| Ok(Arc::new(Half)),
};

/// Values of 16 bits.
#[derive(Debug)]
pub struct Half;

impl Codec for Half {
    fn spec(&self) -> String {
        ENTRY.name.into()
    }

    fn scope(&self) -> Scope {
        Scope::Kinds(&LayerKind::PACKABLE)
    }

    fn bytes(&self, _: &Site<'_>, shape: &[usize], _: DType) -> Result<Option<Bytes>> {
        Ok(Some(Bytes { payload: 2 * shape.iter().product::<usize>(), metadata: 0 }))
    }

    fn pack(&self, input: &Tensor, _: &mut Site<'_>) -> Result<Box<dyn Packed>> {
        let dtype = input.dtype();
        Ok(Box::new(Halves { values: input.to_dtype(DType::BF16)?, dtype }))
    }
}

struct Halves {
    values: Tensor,
    dtype: DType,
}

impl Packed for Halves {
    fn bytes(&self) -> Bytes {
        Bytes::of_tensors([&self.values], [])
    }

    /// A tensor of bf16 is kept as it is.
    fn is_apart(&self) -> bool {
        self.dtype != DType::BF16
    }

    fn unpack(&self) -> Result<Tensor> {
        Ok(self.values.to_dtype(self.dtype)?)
    }
}
