//! `q<b>`: codes of b bits in groups of 256 values.
//!
//! The quantiser that ActNN (Chen et al., ICML 2021, section 4) and GACT (Liu et al., ICML 2022)
//! share: groups of 256 within each sample's flattened features, the group's minimum and scale as
//! bf16 (0.125 bits a value), stochastic rounding, so that weight gradients are unbiased. Unlike
//! the authors' code, codes are made with the ranges as they are after rounding to bf16, outwards,
//! so that their rounding biases nothing; codes are clamped on both sides; and a last group
//! that is shorter is not filled up with zeros, which would widen its range. The authors have codes
//! of 1, 2, 4 and 8 bits alone; here any width up to 8 is packed without gaps.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::quantise::Rounding;
use packlight_record::LayerKind;

use crate::grammar::word;
use crate::quantise::grouped::Code;
use crate::registry::{Entry, Kind, Parameter, Presence};
use crate::{Bytes, Codec, Packed, Result, Scope, Site};

/// How plans write it.
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

/// The layers that keep an input.
pub(crate) const KEEPERS: &[LayerKind] = &[
    LayerKind::Conv,
    LayerKind::Linear,
    LayerKind::Norm,
    LayerKind::Activation,
    LayerKind::Attention,
    LayerKind::Segment,
];

/// Affine codes of so many bits.
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
        Scope::Kinds(KEEPERS)
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
