//! `alam`: 2-bit codes of the means of 4 neighbours, half a bit a value; `alam:<bits>`: that or more,
//! by sensitivity.
//!
//! Average quantisation of Woo et al., "ALAM: averaged low-precision activation for
//! memory-efficient training of transformer models" (ICLR 2024): of all codes with one value for a
//! few neighbours, the mean has the least gradient variance. Means over 4 consecutive values of a
//! sample, coded in groups of 128; restored by repetition. The authors keep two f32 a group, we two
//! bf16 (0.0625 bits a value).
//!
//! With `<bits>`, each tensor has half a bit, 2, 4, 8 or 32 bits per value by GACT's rule and
//! allocation. The gradients of trials are compared by each parameter's norm, which needs no copies
//! of all gradients, and only twice: at the first step and after a tenth of all steps. As in the
//! authors' code, means count as one bit in the predicted variance and in trials.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::block_pool;
use packlight_kernels::quantise::Rounding;
use packlight_record::LayerKind;

use crate::adaptive::ladder::{Ladder, Step};
use crate::grammar::{Entry, Kind, Parameter, Presence};
use crate::identity::Identity;
use crate::quantise::grouped::{Code, Grouped, features, samples};
use crate::{
    Adaptive, Bytes, Calibration, Codec, CodecState, GradientMetric, Packed, Result, Scope, Site,
};

/// Its grammar.
pub const ENTRY: Entry = Entry {
    name: "alam",
    parameters: &[Parameter::new("bits", Kind::Number(0.5, 32.0), "mean bits per value")
        .with(Presence::Optional)],
    summary: "means of 4 neighbours at 2 bits each; with <bits>, up to all bits, by sensitivity",
    examples: &["alam", "alam:2"],
    build: |values| {
        let ladder = |mean| Ladder { steps: &LADDER, mean };
        Ok(Arc::new(Alam { ladder: values.optional("bits")?.map(ladder) }))
    },
};

/// Neighbours that share a code.
const NEIGHBOURS: usize = 4;
const GROUP: usize = 128;
const OF_MEANS: Code = Code { group: GROUP, bits: 2 };

/// The bits that a tensor may have: 32 leaves it as it is, 1 stands for means.
const LADDER: [Step; 5] =
    [Step::of(32), Step::of(8), Step::of(4), Step::of(2), Step { bits: 1, size: 0.5 }];

/// Quantised means of neighbours, for all tensors or for the least sensitive ones.
#[derive(Debug)]
pub struct Alam {
    ladder: Option<Ladder>,
}

impl Codec for Alam {
    fn spec(&self) -> String {
        let mean = self.ladder.map_or(String::new(), |ladder| ladder.mean.to_string());
        ENTRY.spec(&[&mean])
    }

    fn scope(&self) -> Scope {
        Scope::Kinds(&LayerKind::PACKABLE)
    }

    fn bytes(&self, _: &Site<'_>, shape: &[usize], _: DType) -> Result<Option<Bytes>> {
        let means = [samples(shape), features(shape).div_ceil(NEIGHBOURS)];
        Ok(self.ladder.is_none().then(|| OF_MEANS.bytes(&means)))
    }

    fn bounds(&self, shape: &[usize], dtype: DType) -> [usize; 2] {
        let means = [samples(shape), features(shape).div_ceil(NEIGHBOURS)];
        let code = |bits| Code { group: GROUP, bits }.bytes(shape).total();
        let whole = shape.iter().product::<usize>() * dtype.size_in_bytes();
        let means = OF_MEANS.bytes(&means).total();
        [means.min(whole), code(8).max(whole)]
    }

    fn pack(&self, input: &Tensor, site: &mut Site<'_>) -> Result<Box<dyn Packed>> {
        let rounding = Rounding::Stochastic(site.key);
        let bits = match &self.ladder {
            Some(ladder) => ladder.bits(input.elem_count(), site)?,
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
            _ => Identity.pack(input, site),
        }
    }

    fn adaptive(&self) -> Option<&dyn Adaptive> {
        if self.ladder.is_some() { Some(self) } else { None }
    }
}

impl Adaptive for Alam {
    fn measure(&self, step: u64, steps: u64) -> Option<Calibration> {
        let now = step == 0 || step == steps / 10;
        now.then_some(Calibration::Sensitivity(GradientMetric::Norms))
    }

    fn measured(&self, numbers: &[f64], state: &mut CodecState) -> Result<()> {
        self.ladder.map_or(Ok(()), |ladder| ladder.measured(numbers, state))
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

    fn is_apart(&self) -> bool {
        true
    }

    fn unpack(&self) -> Result<Tensor> {
        let means = self.means.unpack()?;
        let restored = block_pool::unpool_features(&means, NEIGHBOURS, features(&self.shape))?;
        Ok(restored.reshape(&self.shape[..])?)
    }
}
