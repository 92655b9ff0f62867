//! `q<b>`: codes of b bits in groups of 256 values.
//!
//! The quantiser that ActNN (Chen et al., ICML 2021, section 4) and GACT (Liu et al., ICML 2022)
//! share: groups of 256 within each sample's flattened features, the group's minimum and scale as
//! bf16 (0.125 bits per value), and stochastic rounding, so that weight gradients are unbiased. Unlike
//! the authors' code, codes are computed from the ranges after these are rounded outwards to bf16, so
//! that this rounding adds no bias; codes are clamped on both sides; and a shorter last group is not
//! padded with zeros, which would widen its range. The authors have codes of 1, 2, 4 and 8 bits; here
//! any width up to 8 is packed without gaps.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::quantise::Rounding;
use packlight_record::LayerKind;

use crate::grammar::{Entry, Kind, Parameter, Presence, word};
use crate::quantise::grouped::Code;
use crate::{Bytes, Codec, Packed, Result, Scope, Site};

/// Its grammar.
pub const ENTRY: Entry = Entry {
    name: "q",
    parameters: &[
        Parameter::new("b", Kind::Whole(1, 8), "bits per value").with(Presence::Attached),
        Parameter::words(&["nearest"], "rounds to the nearest code, not at random"),
    ],
    summary: "1 to 8 bits per value in groups of 256, rounded at random",
    examples: &["q2", "q1", "q3", "q4", "q5", "q6", "q7", "q8", "q2:nearest"],
    build: |values| {
        Ok(Arc::new(Quantised { bits: values.get("b")?, nearest: values.has("nearest") }))
    },
};

/// Values that share a minimum and a scale.
pub(crate) const GROUP: usize = 256;

/// Affine codes of a fixed number of bits.
#[derive(Debug)]
pub struct Quantised {
    bits: u8,
    nearest: bool,
}

impl Quantised {
    fn code(&self) -> Code {
        Code { group: GROUP, bits: self.bits }
    }
}

impl Codec for Quantised {
    fn spec(&self) -> String {
        ENTRY.spec(&[&self.bits, &word(self.nearest, "nearest")])
    }

    fn scope(&self) -> Scope {
        Scope::Kinds(&LayerKind::PACKABLE)
    }

    fn bytes(&self, _: &Site<'_>, shape: &[usize], _: DType) -> Result<Option<Bytes>> {
        Ok(Some(self.code().bytes(shape)))
    }

    fn pack(&self, input: &Tensor, site: &mut Site<'_>) -> Result<Box<dyn Packed>> {
        let rounding =
            if self.nearest { Rounding::Nearest } else { Rounding::Stochastic(site.key) };
        Ok(Box::new(self.code().pack(input, rounding)?))
    }
}
