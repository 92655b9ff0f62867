//! `fp8` and its variants: each value in 8 bits, under one scale for the tensor or for each row.
//!
//! `fp8` has 4 bits of exponent (E4M3), as COAT (Xi et al., ICLR 2025) saves the inputs of linear layers:
//! the largest magnitude is scaled to 448, the largest of E4M3, so that nothing saturates. A value that is
//! not finite becomes NaN. The format is that of Micikevicius et al., "FP8 formats for deep learning",
//! arXiv 2209.05433, with subnormals: a value keeps 4 significant bits down to 1/28,672 of the largest
//! magnitude, and below that is off by at most 1/458,752 of it. Other layers get one scale per tensor too,
//! where COAT has one per group.
//!
//! `fp8:e5m2:row` is the rule of the pass in PyTorch's compiler that quantises saved tensors
//! (`activation_quantization_aten_pass`, with its scaling): 5 bits of exponent (E5M2), where a value keeps
//! 3 significant bits down to 1/939,524,096 of the largest magnitude, and a scale in f32 for each row. A
//! row is the last axis, whatever it means: the features of a token, but of an image the pixels of one
//! line, so that scales take a byte for each value where lines have 4 pixels. The pass takes tensors of
//! bf16 above 100 MB alone and scales no row up beyond a magnitude of 1e-12; here it is every tensor that
//! the plan names, and rows of any magnitude.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::fp8::{self, Format};
use packlight_record::LayerKind;

use crate::grammar::{Entry, Parameter, word};
use crate::{Bytes, Codec, Packed, Result, Scope, Site};

/// Its grammar.
pub const ENTRY: Entry = Entry {
    name: "fp8",
    parameters: &[
        Parameter::words(&["e5m2"], "5 bits of exponent and 2 of mantissa, not 4 and 3"),
        Parameter::words(
            &["row"],
            "one scale for each row along the last axis, not for the tensor",
        ),
    ],
    summary: "each value rounded to 8 bits (E4M3 or E5M2), one scale per tensor or row",
    examples: &["fp8", "fp8:e5m2:row"],
    build: |values| {
        let format = if values.has("e5m2") { Format::E5M2 } else { Format::E4M3 };
        Ok(Arc::new(Fp8 { format, by_row: values.has("row") }))
    },
};

/// Values of 8 bits.
#[derive(Debug)]
pub struct Fp8 {
    format: Format,
    by_row: bool,
}

impl Fp8 {
    /// The values that share a scale.
    fn row(&self, shape: &[usize]) -> usize {
        match shape {
            [.., last] if self.by_row => *last,
            _ => shape.iter().product(),
        }
    }
}

impl Codec for Fp8 {
    fn spec(&self) -> String {
        let e5m2 = self.format == Format::E5M2;
        ENTRY.spec(&[&word(e5m2, "e5m2"), &word(self.by_row, "row")])
    }

    fn scope(&self) -> Scope {
        Scope::Kinds(&LayerKind::PACKABLE)
    }

    fn bytes(&self, _: &Site<'_>, shape: &[usize], _: DType) -> Result<Option<Bytes>> {
        let elements = shape.iter().product::<usize>();
        let rows = elements.checked_div(self.row(shape)).unwrap_or(0);
        Ok(Some(Bytes { payload: elements, metadata: rows * DType::F32.size_in_bytes() }))
    }

    fn pack(&self, input: &Tensor, _: &mut Site<'_>) -> Result<Box<dyn Packed>> {
        let (codes, scales) = fp8::pack(input, self.format, self.row(input.dims()))?;
        Ok(Box::new(Scaled { codes, scales, format: self.format, dtype: input.dtype() }))
    }
}

struct Scaled {
    codes: Tensor,
    /// Of each row, or of all values.
    scales: Tensor,
    format: Format,
    dtype: DType,
}

impl Packed for Scaled {
    fn bytes(&self) -> Bytes {
        Bytes::of_tensors([&self.codes], [&self.scales])
    }

    fn is_apart(&self) -> bool {
        true
    }

    fn unpack(&self) -> Result<Tensor> {
        Ok(fp8::unpack(&self.codes, &self.scales, self.format, self.dtype)?)
    }
}
