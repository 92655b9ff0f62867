//! `gact:<bits>`: bits for each saved tensor by how much it disturbs all gradients.
//!
//! Liu et al., "GACT: activation compressed training for generic network architectures" (ICML
//! 2022). Every tensor that an operation keeps is quantised as `q<b>` does, in 1, 2, 4 or 8 bits or
//! left as it is. Every 1,000 steps the trainer measures each tensor's sensitivity c (see
//! [`Codec::calibrates`]), and bits are allocated so that the predicted variance, the sum of
//! `c 4^-(bits - 1)`, is least within `bits` on average: from whole tensors for all, one step down
//! the ladder at a time, where it costs least for what it saves. Until then all have `bits`, rounded
//! down to a step of the ladder.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::quantise::Rounding;

use crate::grouped::Code;
use crate::identity::Identity;
use crate::ladder::{Ladder, Step};
use crate::quantised::{GROUP, KEEPERS};
use crate::registry::Entry;
use crate::spec::{number, only};
use crate::{Bytes, Codec, Context, Disturbance, InputForm, Memory, Packed, Result, Scope};

/// How plans write it.
pub const ENTRY: Entry = Entry {
    pattern: "gact:<bits>",
    summary: "1 to 8 bits or all, so many on average, by each tensor's measured sensitivity",
    examples: &["gact:4", "gact:2"],
    parse,
};

/// Bits that a tensor may have; at 32 it is left as it is.
const LADDER: [Step; 5] = [Step::of(32), Step::of(8), Step::of(4), Step::of(2), Step::of(1)];
/// Steps from one measurement to the next.
const INTERVAL: u64 = 1000;

fn parse(spec: &str) -> Option<Result<Arc<dyn Codec>>> {
    let bits = only(spec, "gact", "gact:4")?;
    let mean = bits.and_then(|bits| number(spec, bits, 1.0..=32.0, "bits on average, 1 to 32,"));
    Some(mean.map(|mean| Arc::new(Gact { ladder: Ladder { steps: &LADDER, mean } }) as _))
}

/// So many bits on average.
#[derive(Debug)]
pub struct Gact {
    ladder: Ladder,
}

impl Codec for Gact {
    fn name(&self) -> String {
        format!("gact:{}", self.ladder.mean)
    }

    fn scope(&self) -> Scope {
        Scope::Kinds(KEEPERS)
    }

    fn bytes(&self, _: &[usize], _: DType, _: InputForm) -> Result<Option<Bytes>> {
        Ok(None) // what is remembered decides
    }

    fn pack(&self, input: &Tensor, context: &mut Context<'_>) -> Result<Box<dyn Packed>> {
        match self.ladder.bits(input.elem_count(), context.memory)? {
            bits @ 1..=8 => {
                let rounding = Rounding::Stochastic(context.key);
                Ok(Box::new(Code { group: GROUP, bits }.pack(input, rounding)?))
            }
            _ => Identity.pack(input, context),
        }
    }

    fn calibrates(&self, step: u64, _: u64) -> Option<Disturbance> {
        step.is_multiple_of(INTERVAL).then_some(Disturbance::Entries)
    }

    fn calibrated(&self, sensitivity: f64, memory: &mut Memory) -> Result<()> {
        self.ladder.calibrated(sensitivity, memory)
    }

    fn allocate(&self, layers: &mut [&mut Memory]) -> Result<()> {
        self.ladder.allocate(layers)
    }
}
