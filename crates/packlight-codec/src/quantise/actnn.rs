//! `actnn:<level>`: groups of 256 values in 4 bits, or in 2 on average over the inputs of conv and
//! linear layers, allocated by sensitivity.
//!
//! Chen et al., "ActNN: reducing training memory footprint via 2-bit activation compressed
//! training" (ICML 2021). Level 1: 4 bits for conv and linear inputs. Level 2: 4 bits for all that
//! save an input. Level 3: 2 bits on average, allocated over the samples of conv and linear layers. The
//! groups are those of `q<b>`. The higher levels, which swap and defragment, are not implemented.
//!
//! At level 3, the gradient's variance from sample n of a layer is C_n / (2^bits - 1)^2, with
//! C_n = taps / 4 / groups * (sum over groups of range^2) * 256 / pixels * |G|^2 (section 4.2 and
//! the authors' code), |G|^2 the batch's mean squared norm of the output gradient. After each step
//! the bits of all samples of all conv and linear layers are allocated together. A layer remembers
//! the mean over its samples, and allocates it among the samples of the next batch by their own
//! ranges. Until there are gradients, all have 8 bits. Where two layers share a packed input, the one
//! that packed it counts for both.
//!
//! The budget of 2 bits covers the codes of conv and linear inputs alone. Other layers (norms,
//! activations, attention) have the mean bits of the conv or linear layer before them, as in the
//! authors' code, so a whole network may take more or fewer than 2 bits per value. Beside the codes,
//! the ledger counts two bf16 per group (0.125 bits per value, more where samples do not fill their
//! groups) and a byte per sample.
//!
//! The authors' code can also follow each sample of the data set's own |G|^2 from epoch to epoch
//! (`use_gradient`). It is off at all of their levels, takes a number for each sample and layer, and
//! is not implemented.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::quantise::{self, Bits, Coded, Grouping, Rounding};
use packlight_kernels::square;
use packlight_record::LayerKind;

use crate::adaptive::allocation::{self, Item};
use crate::grammar::{Entry, Kind, Parameter};
use crate::quantise::grouped::{Code, RANGE_BYTES, features, samples};
use crate::quantise::quantised::GROUP;
use crate::{
    Adaptive, AxisLayout, Bytes, Codec, CodecState, Op, Packed, Result, RewriteGradients, Scope,
    Site,
};

/// Its grammar.
pub const ENTRY: Entry = Entry {
    name: "actnn",
    parameters: &[Parameter::new("level", Kind::Whole(1, 3), "level of the paper")],
    summary: "level 1: 4 bits for conv and linear inputs; 2: 4 bits for all; 3: 2 bits on average \
              over conv and linear, by sensitivity",
    examples: &["actnn:3", "actnn:1", "actnn:2"],
    build: |values| Ok(Arc::new(Actnn { level: values.get("level")? })),
};

/// Bits of levels 1 and 2.
const FIXED: Code = Code { group: GROUP, bits: 4 };
/// Mean bits of level 3.
const MEAN: f64 = 2.0;

// The names under which a layer's state is stored.
/// Of each sample, the sum of squared ranges of its groups, times 256 / pixels / 4.
const SPREAD: &str = "spread";
/// Elements of a sample, and channels or features.
const SIZES: &str = "sizes";
/// C_n of each sample.
const SENSITIVITY: &str = "sensitivity";
/// The layer's mean bits.
const BITS: &str = "bits";

/// Codes of a fixed number of bits, or of bits allocated by sensitivity.
#[derive(Debug)]
pub struct Actnn {
    level: u8,
}

impl Codec for Actnn {
    fn spec(&self) -> String {
        ENTRY.spec(&[&self.level])
    }

    fn scope(&self) -> Scope {
        Scope::Kinds(if self.level == 1 {
            &[LayerKind::Conv, LayerKind::Linear]
        } else {
            &LayerKind::PACKABLE
        })
    }

    fn bytes(&self, _: &Site<'_>, shape: &[usize], _: DType) -> Result<Option<Bytes>> {
        Ok((self.level < 3).then(|| FIXED.bytes(shape)))
    }

    fn bounds(&self, shape: &[usize], _: DType) -> [usize; 2] {
        // Each sample says its bits, in a byte.
        [1, 8].map(|bits| Code { group: GROUP, bits }.bytes(shape).total() + samples(shape))
    }

    fn pack(&self, input: &Tensor, site: &mut Site<'_>) -> Result<Box<dyn Packed>> {
        let rounding = Rounding::Stochastic(site.key);
        if self.level < 3 {
            return Ok(Box::new(FIXED.pack(input, rounding)?));
        }
        let spread = spread(input, site.axes)?;
        let bits = allocate_samples(&spread, site.state)?;
        let sizes = [features(input.dims()) as f64, channels(input.dims(), site.axes) as f64];
        site.state.set(SIZES, &Tensor::new(&sizes, input.device())?);
        site.state.set(SPREAD, &Tensor::from_slice(&spread, spread.len(), input.device())?);
        let (shape, dtype, row) = (input.dims().to_vec(), input.dtype(), features(input.dims()));
        let grouping = Grouping { row, group: GROUP, bits: Bits::PerRow(&bits) };
        let (codes, ranges) = quantise::pack(input, &grouping, rounding)?;
        Ok(Box::new(Adapted { codes, ranges, bits, shape, dtype }))
    }

    fn adaptive(&self) -> Option<&dyn Adaptive> {
        if self.level == 3 { Some(self) } else { None }
    }

    fn gradients(&self) -> Option<&dyn RewriteGradients> {
        if self.level == 3 { Some(self) } else { None }
    }
}

impl RewriteGradients for Actnn {
    /// Only observes the gradient, for the layer's sensitivity.
    fn output_grad(&self, exact: &Tensor, site: &mut Site<'_>) -> Result<Option<Tensor>> {
        let (Some(spread), Some(sizes)) = (site.state.get(SPREAD), site.state.get(SIZES)) else {
            return Ok(None); // another layer packed the input
        };
        let samples = samples(exact.dims()).max(1) as f64;
        let norm = square::sum(exact)? / samples;
        let inputs = sizes.to_vec1::<f64>()?[1];
        let (per_group, taps) = match site.op {
            Op::Conv2d { weight_shape: [_, inputs, kernel @ ..], .. }
            | Op::Linear { weight_shape: [_, inputs, kernel @ ..] } => {
                (*inputs, kernel.iter().product::<usize>())
            }
            _ => (1, 1),
        };
        let groups = inputs / per_group.max(1) as f64;
        let sensitivity = (spread * (norm * taps as f64 / groups.max(1.0)))?;
        site.state.set(SENSITIVITY, &sensitivity);
        Ok(None)
    }
}

impl Adaptive for Actnn {
    fn allocate(&self, layers: &mut [&mut CodecState]) -> Result<()> {
        let mut items = Vec::new();
        let mut counts = Vec::with_capacity(layers.len());
        for layer in layers.iter() {
            let before = items.len();
            if let (Some(sensitivity), Some(sizes)) = (layer.get(SENSITIVITY), layer.get(SIZES)) {
                let weight = sizes.to_vec1::<f64>()?[0].max(1.0);
                let of = |sensitivity: f64| Item { sensitivity: finite(sensitivity), weight };
                items.extend(sensitivity.to_vec1::<f64>()?.into_iter().map(of));
            }
            counts.push(items.len() - before);
        }
        let budget = MEAN * items.iter().map(|item| item.weight).sum::<f64>();
        let bits = allocation::allocate(&items, budget);
        let (mut rest, mut last) = (&bits[..], None);
        for (layer, count) in layers.iter_mut().zip(counts) {
            let (own, others) = rest.split_at(count);
            rest = others;
            if count > 0 {
                last = Some(own.iter().map(|&bits| f64::from(bits)).sum::<f64>() / count as f64);
            }
            if let (Some(mean), Some(spread)) = (last, layer.get(SPREAD)) {
                let mean = Tensor::new(mean, spread.device())?;
                layer.set(BITS, &mean);
            }
        }
        Ok(())
    }
}

fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { 0.0 }
}

fn channels(shape: &[usize], axes: AxisLayout) -> usize {
    match (axes, shape) {
        (AxisLayout::Images, &[_, channels, ..]) => channels,
        _ => shape.last().copied().unwrap_or(1),
    }
}

/// [`SPREAD`] of this batch.
fn spread(input: &Tensor, axes: AxisLayout) -> Result<Vec<f64>> {
    let row = features(input.dims());
    let pixels = row / channels(input.dims(), axes).max(1);
    let per_row = row.div_ceil(GROUP).max(1);
    let extremes = quantise::extremes(input, row, GROUP)?.flatten_all()?.to_vec1::<f32>()?;
    let squares =
        extremes.as_chunks::<2>().0.iter().map(|[low, high]| f64::from(high - low).powi(2));
    let squares: Vec<f64> = squares.map(finite).collect();
    let factor = GROUP as f64 / pixels.max(1) as f64 / 4.0;
    Ok(squares.chunks(per_row).map(|row| row.iter().sum::<f64>() * factor).collect())
}

/// The bits of each sample: the layer's mean, more for those of greater spread.
fn allocate_samples(spread: &[f64], memory: &CodecState) -> Result<Vec<u8>> {
    let Some(mean) = memory.get(BITS) else {
        return Ok(vec![allocation::MOST; spread.len()]);
    };
    let budget = (mean.to_scalar::<f64>()? * spread.len() as f64).round();
    let of = |&spread: &f64| Item { sensitivity: spread, weight: 1.0 };
    Ok(allocation::allocate(&spread.iter().map(of).collect::<Vec<_>>(), budget))
}

struct Adapted {
    codes: Tensor,
    ranges: Tensor,
    /// Of each sample.
    bits: Vec<u8>,
    shape: Vec<usize>,
    dtype: DType,
}

impl Adapted {
    fn as_coded(&self) -> Coded<'_> {
        let Self { codes, ranges, shape, dtype, .. } = self;
        let bits = Bits::PerRow(&self.bits);
        let grouping = Grouping { row: features(&self.shape), group: GROUP, bits };
        Coded { codes, ranges, grouping, shape, dtype: *dtype }
    }
}

impl Packed for Adapted {
    fn bytes(&self) -> Bytes {
        let metadata = self.ranges.elem_count() / 2 * RANGE_BYTES + self.bits.len();
        Bytes { payload: self.codes.elem_count(), metadata }
    }

    fn is_apart(&self) -> bool {
        true
    }

    fn unpack(&self) -> Result<Tensor> {
        Ok(quantise::unpack(&self.as_coded())?)
    }

    fn coded(&self) -> Option<Coded<'_>> {
        Some(self.as_coded())
    }
}
