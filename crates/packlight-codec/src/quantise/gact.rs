//! `gact:<bits>[:<steps>]`: bits for each saved tensor by the sensitivity of the gradients to it.
//!
//! Liu et al., "GACT: activation compressed training for generic network architectures" (ICML
//! 2022). Every saved tensor is quantised like `q<b>` in 1, 2, 4 or 8 bits, or left whole. Every 1,000
//! steps, or as many as the plan says, the trainer measures each tensor's sensitivity c
//! ([`Calibration::Sensitivity`]), and bits are allocated to minimise the predicted variance, the sum
//! of `c 4^-(bits - 1)`, within `<bits>` on average: starting from whole tensors, one tensor at a time
//! goes down one step of the ladder, where that adds least variance for the bits that it frees. Until
//! the first measurement all have `<bits>`, rounded down to a step of the ladder. 1,000 steps are the
//! authors' default, which a short run reaches only once; their repository sets it per task, down to
//! 20.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::quantise::Rounding;
use packlight_record::LayerKind;

use crate::adaptive::ladder::{Ladder, Step};
use crate::grammar::{Entry, Kind, Parameter, Presence};
use crate::identity::Identity;
use crate::quantise::grouped::Code;
use crate::quantise::quantised::GROUP;
use crate::{
    Adaptive, Bytes, Calibration, Codec, CodecState, GradientMetric, Packed, Result, Scope, Site,
};

/// Its grammar.
pub const ENTRY: Entry = Entry {
    name: "gact",
    parameters: &[
        Parameter::new("bits", Kind::Number(1.0, 32.0), "mean bits per value"),
        Parameter::new("steps", Kind::Whole(1, u64::MAX), "steps from one measurement to the next")
            .with(Presence::Default("1000")),
    ],
    summary: "1 to 8 bits or all, so many on average, by sensitivity",
    examples: &["gact:4", "gact:2", "gact:4:50"],
    build: |values| {
        let ladder = Ladder { steps: &LADDER, mean: values.get("bits")? };
        Ok(Arc::new(Gact { ladder, interval: values.get("steps")? }))
    },
};

/// The bits that a tensor may have; 32 leaves it as it is.
const LADDER: [Step; 5] = [Step::of(32), Step::of(8), Step::of(4), Step::of(2), Step::of(1)];

/// Bits allocated by sensitivity, anew after every interval of steps.
#[derive(Debug)]
pub struct Gact {
    ladder: Ladder,
    interval: u64,
}

impl Codec for Gact {
    fn spec(&self) -> String {
        ENTRY.spec(&[&self.ladder.mean, &self.interval])
    }

    fn scope(&self) -> Scope {
        Scope::Kinds(&LayerKind::PACKABLE)
    }

    fn bytes(&self, _: &Site<'_>, _: &[usize], _: DType) -> Result<Option<Bytes>> {
        Ok(None) // the state decides
    }

    fn bounds(&self, shape: &[usize], dtype: DType) -> [usize; 2] {
        let code = |bits| Code { group: GROUP, bits }.bytes(shape).total();
        let whole = shape.iter().product::<usize>() * dtype.size_in_bytes();
        [code(1).min(whole), code(8).max(whole)]
    }

    fn pack(&self, input: &Tensor, site: &mut Site<'_>) -> Result<Box<dyn Packed>> {
        match self.ladder.bits(input.elem_count(), site)? {
            bits @ 1..=8 => {
                let rounding = Rounding::Stochastic(site.key);
                Ok(Box::new(Code { group: GROUP, bits }.pack(input, rounding)?))
            }
            _ => Identity.pack(input, site),
        }
    }

    fn adaptive(&self) -> Option<&dyn Adaptive> {
        Some(self)
    }
}

impl Adaptive for Gact {
    fn measure(&self, step: u64, _: u64) -> Option<Calibration> {
        let now = step.is_multiple_of(self.interval);
        now.then_some(Calibration::Sensitivity(GradientMetric::Entries))
    }

    fn measured(&self, numbers: &[f64], state: &mut CodecState) -> Result<()> {
        self.ladder.measured(numbers, state)
    }

    fn allocate(&self, layers: &mut [&mut CodecState]) -> Result<()> {
        self.ladder.allocate(layers)
    }
}
