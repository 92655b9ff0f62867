//! `dither:<s>`: the whole input, and an output gradient that is mostly zeros.
//!
//! Wiedemann, Mehari, Kepp and Samek, "Dithered backprop: a sparse and quantized backpropagation
//! algorithm for more efficient deep neural network training" (CVPR workshops 2020). The gradient of
//! a layer's output is rounded at random to multiples of `s` standard deviations of itself, so that
//! its mean stays: a saving of multiplications where zeros are skipped, of no memory. The paper's
//! dither is subtracted by nobody; adding it before rounding to the nearest multiple is rounding down
//! or up at random.
//!
//! A gradient without a finite deviation above 0 stays as it is.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::dither;
use packlight_record::LayerKind;

use crate::identity::Identity;
use crate::registry::Entry;
use crate::spec::{number, only};
use crate::{AxisLayout, Bytes, Codec, Context, Packed, Result, Scope};

/// How plans write it.
pub const ENTRY: Entry = Entry {
    pattern: "dither:<s>",
    summary: "the whole input; rounds the output gradient to multiples of s deviations at random",
    examples: &["dither:2", "dither:0.5"],
    parse,
};

fn parse(spec: &str) -> Option<Result<Arc<dyn Codec>>> {
    let expected = "a step of 0.001 to 1000 standard deviations";
    let deviations = only(spec, "dither", "dither:2")?
        .and_then(|deviations| number(spec, deviations, 0.001..=1000.0, expected));
    Some(deviations.map(|deviations| Arc::new(Dither { deviations }) as _))
}

/// Rounds output gradients to multiples of this many standard deviations.
#[derive(Debug)]
pub struct Dither {
    deviations: f64,
}

impl Codec for Dither {
    fn name(&self) -> String {
        format!("dither:{}", self.deviations)
    }

    fn packs_as(&self) -> String {
        Identity.name()
    }

    fn scope(&self) -> Scope {
        Scope::Kinds(&[LayerKind::Conv, LayerKind::Linear])
    }

    fn bytes(&self, shape: &[usize], dtype: DType, axes: AxisLayout) -> Result<Option<Bytes>> {
        Identity.bytes(shape, dtype, axes)
    }

    fn pack(&self, input: &Tensor, context: &mut Context<'_>) -> Result<Box<dyn Packed>> {
        Identity.pack(input, context)
    }

    fn output_grad(&self, grad: &Tensor, context: &mut Context<'_>) -> Result<Option<Tensor>> {
        let step = self.deviations * dither::deviation(grad)?;
        let usable = step.is_finite() && step > 0.0;
        Ok(usable.then(|| dither::dither(grad, step, context.key)).transpose()?)
    }
}
