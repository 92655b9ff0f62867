//! `asa<level>` and `alt<level>`: the sign of each element.
//!
//! Woo and Jeon, "Learning with auxiliary activation for memory-efficient training", ICLR 2023.
//! Auxiliary sign activation adds `eps sign(h)` to the input `h` of a linear layer and saves those
//! signs alone, one bit each: the layer computes `W (h + eps s)`, and its weight's gradient is
//! `expansion G^T (eps s)`. It changes the forward pass to fit what is saved. `alt` is its control
//! without that addition: plain alternative activation.

use std::sync::Arc;

use candle_core::{DType, Shape, Tensor};
use packlight_kernels::{conv2d, linear, sign};

use crate::grammar::{Entry, Kind, Parameter, Presence, Values};
use crate::{Bytes, Codec, Op, Packed, Result, RewriteOperands, Scope, Site};

/// The grammar of auxiliary sign activation.
pub const AUXILIARY: Entry = Entry {
    name: "asa",
    parameters: PARAMETERS,
    summary: "signs, which the layer adds to its input (linear inputs up to a level of 1 to 4)",
    examples: &["asa4", "asa1", "asa2:0.02:50"],
    build: |values| Signs::build(values, true),
};

/// The grammar of alternative activation.
pub const ALTERNATIVE: Entry = Entry {
    name: "alt",
    parameters: PARAMETERS,
    summary: "signs in place of the input, which the layer does not add: a control for asa",
    examples: &["alt4"],
    build: |values| Signs::build(values, false),
};

/// The defaults are the authors': their `lr_expansion` undoes the scale of the signs.
const PARAMETERS: &[Parameter] = &[
    Parameter::new("level", Kind::Whole(1, 4), "level up to which linear layers are covered")
        .with(Presence::Attached),
    Parameter::new("eps", Kind::Positive(1e6), "scale of the signs")
        .with(Presence::Default("0.01")),
    Parameter::new("expansion", Kind::Positive(1e6), "factor on the weight gradient")
        .with(Presence::Default("100")),
];

/// Saves signs.
#[derive(Debug)]
pub struct Signs {
    level: u8,
    epsilon: f64,
    expansion: f64,
    /// Whether the layer adds them to its input.
    added: bool,
}

impl Signs {
    fn build(values: &Values<'_>, added: bool) -> Result<Arc<dyn Codec>> {
        let (epsilon, expansion) = (values.get("eps")?, values.get("expansion")?);
        Ok(Arc::new(Self { level: values.get("level")?, epsilon, expansion, added }))
    }
}

impl Codec for Signs {
    fn spec(&self) -> String {
        let entry = if self.added { AUXILIARY } else { ALTERNATIVE };
        entry.spec(&[&self.level, &self.epsilon, &self.expansion])
    }

    fn scope(&self) -> Scope {
        Scope::Auxiliary(self.level)
    }

    fn bytes(&self, _: &Site<'_>, shape: &[usize], _: DType) -> Result<Option<Bytes>> {
        let payload = shape.iter().product::<usize>().div_ceil(32) * 4;
        Ok(Some(Bytes { payload, metadata: 0 }))
    }

    fn pack(&self, input: &Tensor, _: &mut Site<'_>) -> Result<Box<dyn Packed>> {
        Ok(Box::new(PackedSigns {
            signs: sign::pack(input)?,
            shape: input.shape().clone(),
            dtype: input.dtype(),
            epsilon: self.epsilon,
            expansion: self.expansion,
        }))
    }

    fn operands(&self) -> Option<&dyn RewriteOperands> {
        if self.added { Some(self) } else { None }
    }
}

impl RewriteOperands for Signs {
    fn input(&self, input: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(sign::add(input, self.epsilon)?))
    }
}

struct PackedSigns {
    signs: Tensor,
    shape: Shape,
    dtype: DType,
    epsilon: f64,
    expansion: f64,
}

impl PackedSigns {
    /// The signs as the weight gradient sees them.
    fn expanded(&self) -> Result<Tensor> {
        let magnitude = self.epsilon * self.expansion;
        Ok(sign::unpack(&self.signs, magnitude, &self.shape, self.dtype)?)
    }
}

impl Packed for PackedSigns {
    fn bytes(&self) -> Bytes {
        Bytes { payload: self.signs.elem_count(), metadata: 0 }
    }

    fn is_apart(&self) -> bool {
        true
    }

    fn unpack(&self) -> Result<Tensor> {
        Ok(sign::unpack(&self.signs, self.epsilon, &self.shape, self.dtype)?)
    }

    /// From the signs scaled and expanded; other operations see them scaled alone.
    fn gradient(&self, op: Op<'_>, output_grad: &Tensor) -> Result<Option<Tensor>> {
        Ok(match op {
            Op::Conv2d { weight_shape, geometry } => {
                let signs = self.expanded()?;
                Some(conv2d::weight_grad(&signs, output_grad, weight_shape, &geometry)?)
            }
            Op::Linear { .. } => Some(linear::weight_grad(&self.expanded()?, output_grad)?),
            _ => None,
        })
    }
}
