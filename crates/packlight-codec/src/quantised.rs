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

use crate::grouped::Code;
use crate::registry::Entry;
use crate::spec::{number, wrong};
use crate::{AxisLayout, Bytes, Codec, Context, Packed, Result, Scope};

/// How plans write it.
pub const ENTRY: Entry = Entry {
    pattern: "q<b>",
    summary: "1 to 8 bits a value in groups of 256, rounded at random; `q2:nearest` does not",
    examples: &["q2", "q1", "q3", "q4", "q5", "q6", "q7", "q8", "q2:nearest"],
    parse,
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

fn parse(spec: &str) -> Option<Result<Arc<dyn Codec>>> {
    let rest = spec.strip_prefix('q')?;
    let (bits, rounding) = rest.split_once(':').unwrap_or((rest, ""));
    if !bits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let quantised = || {
        let bits = number(spec, bits, 1..=8, "1 to 8 bits after `q`, as in `q2`,")?;
        let nearest = match rounding {
            "" => false,
            "nearest" => true,
            other => {
                return Err(wrong(spec, format!("`nearest` or nothing expected; `{other}` found")));
            }
        };
        Ok(Arc::new(Quantised { bits, nearest }) as _)
    };
    Some(quantised())
}

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
    fn name(&self) -> String {
        format!("q{}{}", self.bits, if self.nearest { ":nearest" } else { "" })
    }

    fn scope(&self) -> Scope {
        Scope::Kinds(KEEPERS)
    }

    fn bytes(&self, shape: &[usize], _: DType, _: AxisLayout) -> Result<Option<Bytes>> {
        Ok(Some(self.code().bytes(shape)))
    }

    fn pack(&self, input: &Tensor, context: &mut Context<'_>) -> Result<Box<dyn Packed>> {
        let rounding =
            if self.nearest { Rounding::Nearest } else { Rounding::Stochastic(context.key) };
        Ok(Box::new(self.code().pack(input, rounding)?))
    }
}
