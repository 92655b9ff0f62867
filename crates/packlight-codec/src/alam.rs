//! `alam`: 2-bit codes of the means of 4 neighbours, half a bit a value; `alam:<bits>`: that or more,
//! by sensitivity.
//!
//! Average quantisation of Woo et al., "ALAM: averaged low-precision activation for
//! memory-efficient training of transformer models" (ICLR 2024): of all codes with one value for a
//! few neighbours, the mean has the least gradient variance. Means over 4 consecutive values of a
//! sample, coded in groups of 128; restored by repetition. The authors keep two f32 a group, we two
//! bf16 (0.0625 bits a value).
//!
//! With a number of bits on average each tensor has half a bit, 2, 4, 8 or 32, by GACT's rule and
//! allocation, but the gradients of trials are compared by each parameter's norm, which takes no
//! copies of all gradients, and only twice: at the first step and after a tenth of all. As in the
//! authors' code, the means count as one bit where variance is predicted, and take its place in
//! trials.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::block_pool;
use packlight_kernels::quantise::Rounding;

use crate::grouped::{Code, Grouped, features, samples};
use crate::identity::Identity;
use crate::ladder::{Ladder, Step};
use crate::quantised::KEEPERS;
use crate::registry::Entry;
use crate::spec::{number, parameters, wrong};
use crate::{
    AxisLayout, Bytes, Calibration, Codec, CodecState, Context, GradientMetric, Packed, Result,
    Scope,
};

/// How plans write it.
pub const ENTRY: Entry = Entry {
    pattern: "alam[:<bits>]",
    summary: "means of 4 neighbours at 2 bits each; or up to all bits, so many on average",
    examples: &["alam", "alam:2"],
    parse,
};

/// Neighbours that share a code.
const NEIGHBOURS: usize = 4;
const GROUP: usize = 128;
const OF_MEANS: Code = Code { group: GROUP, bits: 2 };

/// Bits that a tensor may have: at 32 it is left as it is, 1 stands for means.
const LADDER: [Step; 5] =
    [Step::of(32), Step::of(8), Step::of(4), Step::of(2), Step { bits: 1, size: 0.5 }];

fn parse(spec: &str) -> Option<Result<Arc<dyn Codec>>> {
    let mean = match parameters(spec, "alam")?[..] {
        [] => Ok(None),
        [bits] => number(spec, bits, 0.5..=32.0, "bits on average, 0.5 to 32,").map(Some),
        _ => Err(wrong(spec, "`alam` or bits on average expected, as in `alam:2`")),
    };
    let ladder = |mean: f64| Ladder { steps: &LADDER, mean };
    Some(mean.map(|mean| Arc::new(Alam { ladder: mean.map(ladder) }) as _))
}

/// Quantised means of neighbours, for all tensors or for those that matter least.
#[derive(Debug)]
pub struct Alam {
    ladder: Option<Ladder>,
}

impl Codec for Alam {
    fn name(&self) -> String {
        match self.ladder {
            Some(Ladder { mean, .. }) => format!("alam:{mean}"),
            None => "alam".into(),
        }
    }

    fn scope(&self) -> Scope {
        Scope::Kinds(KEEPERS)
    }

    fn bytes(&self, shape: &[usize], _: DType, _: AxisLayout) -> Result<Option<Bytes>> {
        let means = [samples(shape), features(shape).div_ceil(NEIGHBOURS)];
        Ok(self.ladder.is_none().then(|| OF_MEANS.bytes(&means)))
    }

    fn pack(&self, input: &Tensor, context: &mut Context<'_>) -> Result<Box<dyn Packed>> {
        let rounding = Rounding::Stochastic(context.key);
        let bits = match &self.ladder {
            Some(ladder) => ladder.bits(input.elem_count(), context.state)?,
            None => 1,
        };
        match bits {
            1 => {
                let shape = input.dims().to_vec();
                let flat = input.reshape((samples(&shape), features(&shape)))?;
                let means = block_pool::pool_features(&flat, NEIGHBOURS)?;
                Ok(Box::new(Means { means: OF_MEANS.pack(&means, rounding)?, shape }))
            }
            bits @ 2..=8 => Ok(Box::new(Code { group: GROUP, bits }.pack(input, rounding)?)),
            _ => Identity.pack(input, context),
        }
    }

    fn calibrates(&self, step: u64, steps: u64) -> Option<Calibration> {
        let now = step == 0 || step == steps / 10;
        (self.ladder.is_some() && now).then_some(Calibration::Sensitivity(GradientMetric::Norms))
    }

    fn calibrated(&self, measured: &[f64], memory: &mut CodecState) -> Result<()> {
        self.ladder.map_or(Ok(()), |ladder| ladder.calibrated(measured, memory))
    }

    fn allocate(&self, layers: &mut [&mut CodecState]) -> Result<()> {
        self.ladder.map_or(Ok(()), |ladder| ladder.allocate(layers))
    }
}

struct Means {
    means: Grouped,
    shape: Vec<usize>,
}

impl Packed for Means {
    fn bytes(&self) -> Bytes {
        self.means.bytes()
    }

    fn unpack(&self) -> Result<Tensor> {
        let means = self.means.unpack()?;
        let restored = block_pool::unpool_features(&means, NEIGHBOURS, features(&self.shape))?;
        Ok(restored.reshape(&self.shape[..])?)
    }
}
