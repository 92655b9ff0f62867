//! `gact:<bits>`, `gact:<bits>:<steps>`: bits for each saved tensor by how much it disturbs all
//! gradients.
//!
//! Liu et al., "GACT: activation compressed training for generic network architectures" (ICML
//! 2022). Every tensor that an operation keeps is quantised as `q<b>` does, in 1, 2, 4 or 8 bits or
//! left as it is. Every 1,000 steps, or as many as the plan says, the trainer measures each tensor's
//! sensitivity c (see [`Codec::calibrates`]), and bits are allocated so that the predicted variance,
//! the sum of `c 4^-(bits - 1)`, is least within `bits` on average: from whole tensors for all, one
//! step down the ladder at a time, where it costs least for what it saves. Until then all have
//! `bits`, rounded down to a step of the ladder. 1,000 steps are the authors' default, which short
//! runs see but once; their repository has it set anew for each task, down to 20.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::quantise::Rounding;

use crate::grouped::Code;
use crate::identity::Identity;
use crate::ladder::{Ladder, Step};
use crate::quantised::{GROUP, KEEPERS};
use crate::registry::Entry;
use crate::spec::{number, parameters, wrong};
use crate::{
    AxisLayout, Bytes, Calibration, Codec, CodecState, Context, GradientMetric, Packed, Result,
    Scope,
};

/// How plans write it.
pub const ENTRY: Entry = Entry {
    pattern: "gact:<bits>",
    summary: "1 to 8 bits or all, so many on average, by sensitivity; `:50` measured every 50 steps",
    examples: &["gact:4", "gact:2", "gact:4:50"],
    parse,
};

/// Bits that a tensor may have; at 32 it is left as it is.
const LADDER: [Step; 5] = [Step::of(32), Step::of(8), Step::of(4), Step::of(2), Step::of(1)];
/// Steps from one measurement to the next where a plan does not say.
const INTERVAL: u64 = 1000;

fn parse(spec: &str) -> Option<Result<Arc<dyn Codec>>> {
    let parameters = parameters(spec, "gact")?;
    let codec = |bits, interval: Option<&str>| {
        let mean = number(spec, bits, 1.0..=32.0, "bits on average, 1 to 32,")?;
        let steps = |text| number(spec, text, 1.., "steps from one measurement to the next");
        let interval = interval.map_or(Ok(INTERVAL), steps)?;
        Ok(Arc::new(Gact { ladder: Ladder { steps: &LADDER, mean }, interval }) as _)
    };
    Some(match parameters[..] {
        [bits] => codec(bits, None),
        [bits, interval] => codec(bits, Some(interval)),
        _ => Err(wrong(spec, "bits and perhaps steps expected, as in `gact:4` or `gact:4:50`")),
    })
}

/// So many bits on average, shared out anew every so many steps.
#[derive(Debug)]
pub struct Gact {
    ladder: Ladder,
    interval: u64,
}

impl Codec for Gact {
    fn name(&self) -> String {
        let interval = match self.interval {
            INTERVAL => String::new(),
            steps => format!(":{steps}"),
        };
        format!("gact:{}{interval}", self.ladder.mean)
    }

    fn scope(&self) -> Scope {
        Scope::Kinds(KEEPERS)
    }

    fn bytes(&self, _: &[usize], _: DType, _: AxisLayout) -> Result<Option<Bytes>> {
        Ok(None) // what is remembered decides
    }

    fn pack(&self, input: &Tensor, context: &mut Context<'_>) -> Result<Box<dyn Packed>> {
        match self.ladder.bits(input.elem_count(), context.state)? {
            bits @ 1..=8 => {
                let rounding = Rounding::Stochastic(context.key);
                Ok(Box::new(Code { group: GROUP, bits }.pack(input, rounding)?))
            }
            _ => Identity.pack(input, context),
        }
    }

    fn calibrates(&self, step: u64, _: u64) -> Option<Calibration> {
        let now = step.is_multiple_of(self.interval);
        now.then_some(Calibration::Sensitivity(GradientMetric::Entries))
    }

    fn calibrated(&self, measured: &[f64], memory: &mut CodecState) -> Result<()> {
        self.ladder.calibrated(measured, memory)
    }

    fn allocate(&self, layers: &mut [&mut CodecState]) -> Result<()> {
        self.ladder.allocate(layers)
    }
}
