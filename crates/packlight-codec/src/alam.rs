//! `alam`: 2-bit codes of the means of 4 neighbours, half a bit a value.
//!
//! Average quantisation of Woo et al., "ALAM: averaged low-precision activation for
//! memory-efficient training of transformer models" (ICLR 2024): of all codes with one value for a
//! few neighbours, the mean has the least gradient variance. Means over 4 consecutive values of a
//! sample, coded in groups of 128; restored by repetition. The authors keep two f32 a group, we two
//! bf16 (0.0625 bits a value). Every layer gets this code; the authors' choice among 32, 8, 4, 2
//! and 0.5 bits by sensitivity is a plan of other codecs here.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::block_pool;
use packlight_kernels::quantise::Rounding;

use crate::grouped::{Code, Grouped, features, samples};
use crate::quantised::KEEPERS;
use crate::registry::Entry;
use crate::{Bytes, Codec, Context, InputForm, Packed, Result, Scope};

/// How plans write it.
pub const ENTRY: Entry = Entry {
    pattern: "alam",
    summary: "means of 4 neighbours at 2 bits each, in groups of 128 means",
    examples: &["alam"],
    parse: |spec| (spec == "alam").then(|| Ok(Arc::new(Alam) as _)),
};

/// Neighbours that share a code.
const NEIGHBOURS: usize = 4;
const CODE: Code = Code { group: 128, bits: 2 };

/// Quantised means of neighbours.
#[derive(Debug)]
pub struct Alam;

impl Codec for Alam {
    fn name(&self) -> String {
        "alam".into()
    }

    fn scope(&self) -> Scope {
        Scope::Kinds(KEEPERS)
    }

    fn bytes(&self, shape: &[usize], _: DType, _: InputForm) -> Result<Option<Bytes>> {
        Ok(Some(CODE.bytes(&[samples(shape), features(shape).div_ceil(NEIGHBOURS)])))
    }

    fn pack(&self, input: &Tensor, context: &mut Context<'_>) -> Result<Box<dyn Packed>> {
        let shape = input.dims().to_vec();
        let flat = input.reshape((samples(&shape), features(&shape)))?;
        let means = block_pool::pool_features(&flat, NEIGHBOURS)?;
        let means = CODE.pack(&means, Rounding::Stochastic(context.key))?;
        Ok(Box::new(Means { means, shape }))
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
