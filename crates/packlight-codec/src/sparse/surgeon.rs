//! `surgeon` and `surgeon:<steps>`: the largest magnitudes, a share of them for each layer by its
//! importance.
//!
//! Ma, Tang, Guo et al., "SURGEON: memory-adaptive fully test-time adaptation via dynamic activation
//! sparsity" (CVPR 2025). Of layer i, G is the norm of the weight's gradient over the square root of the
//! number of weights, and M the logarithm of the bytes that all layers save over those of this one. The
//! largest product G M keeps its input whole, any other layer the share `G M / max G M` of its elements,
//! those of the largest magnitudes in the batch.
//!
//! It differs from the authors' code in this:
//! - They adapt a trained network to unlabelled images, by a loss of entropy; here it is training.
//! - They measure G on ten images of each batch; here it is the whole batch, in a pass of its own in
//!   which all inputs are whole, so a step takes about twice as long, and that pass as much memory as
//!   exact training. With `<steps>`, it is one step in so many.
//! - They save an index of 32 bits for each value; here it is one bit for every element, which is smaller
//!   where more than 1 in 32 is kept, and nothing where all are.
//! - Batch norms prune there what the gradient of their weight reads, and keep the whole input beside it
//!   for that of their input. By default, this codec is for convolutions and linear layers.
//! - The number of values is the nearest whole one, at least 1; they round down.
//! - Layers that read one tensor share one copy, pruned as the first of them says.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use packlight_kernels::top_k;
use packlight_record::LayerKind;

use crate::grammar::{Entry, Kind, Parameter, Presence};
use crate::identity::Identity;
use crate::sparse::masked::Masked;
use crate::sparse::share_of;
use crate::{Adaptive, Bytes, Calibration, Codec, CodecState, Packed, Result, Scope, Site};

/// Its grammar.
pub const ENTRY: Entry = Entry {
    name: "surgeon",
    parameters: &[Parameter::new(
        "steps",
        Kind::Whole(1, u64::MAX),
        "steps from one measurement to the next",
    )
    .with(Presence::Default("1"))],
    summary: "the largest magnitudes, more of them in layers of large gradients and few bytes",
    examples: &["surgeon", "surgeon:50"],
    build: |values| Ok(Arc::new(Surgeon { interval: values.get("steps")? })),
};

/// Keeps a share of the largest magnitudes that is measured after every interval of steps.
#[derive(Debug)]
pub struct Surgeon {
    interval: u64,
}

// The names under which a layer's state is stored.
const GRADIENT: &str = "gradient";
const BYTES: &str = "bytes";
const SHARE: &str = "share";

impl Codec for Surgeon {
    fn spec(&self) -> String {
        ENTRY.spec(&[&self.interval])
    }

    fn scope(&self) -> Scope {
        Scope::Kinds(&[LayerKind::Conv, LayerKind::Linear])
    }

    fn bytes(&self, _: &Site<'_>, _: &[usize], _: DType) -> Result<Option<Bytes>> {
        Ok(None) // the state decides
    }

    fn bounds(&self, shape: &[usize], dtype: DType) -> [usize; 2] {
        let (elements, size) = (shape.iter().product::<usize>(), dtype.size_in_bytes());
        let whole = elements * size;
        let masked = |kept: usize| elements.div_ceil(8) + kept * size;
        [masked(elements.min(1)).min(whole), masked(elements.saturating_sub(1)).max(whole)]
    }

    fn pack(&self, input: &Tensor, site: &mut Site<'_>) -> Result<Box<dyn Packed>> {
        let share = match (site.level, site.state.get(SHARE)) {
            (Some(Calibration::WHOLE), _) | (_, None) => 1.0,
            (_, Some(share)) => share.to_scalar::<f64>()?,
        };
        let elements = input.elem_count();
        let kept = share_of(share, elements);
        if kept == elements {
            return Identity.pack(input, site);
        }
        Ok(Box::new(Masked::new(input, top_k::mask(input, 1, kept)?)?))
    }

    fn adaptive(&self) -> Option<&dyn Adaptive> {
        Some(self)
    }
}

impl Adaptive for Surgeon {
    fn measure(&self, step: u64, _: u64) -> Option<Calibration> {
        step.is_multiple_of(self.interval).then_some(Calibration::Importance)
    }

    fn measured(&self, numbers: &[f64], state: &mut CodecState) -> Result<()> {
        if let &[gradient, bytes] = numbers {
            state.set(GRADIENT, &Tensor::new(gradient, &Device::Cpu)?);
            state.set(BYTES, &Tensor::new(bytes, &Device::Cpu)?);
        }
        Ok(())
    }

    fn allocate(&self, layers: &mut [&mut CodecState]) -> Result<()> {
        let mut measured = Vec::new();
        for (index, layer) in layers.iter().enumerate() {
            if let (Some(gradient), Some(bytes)) = (layer.get(GRADIENT), layer.get(BYTES)) {
                measured.push((index, gradient.to_scalar::<f64>()?, bytes.to_scalar::<f64>()?));
            }
        }
        let all: f64 = measured.iter().map(|(_, _, bytes)| bytes).sum();
        let product = |gradient: f64, bytes: f64| gradient * (all / bytes).ln();
        let products = measured.iter().map(|&(_, gradient, bytes)| product(gradient, bytes));
        let largest = products.fold(0.0, f64::max);
        for (index, gradient, bytes) in measured {
            // One layer alone, or one whose gradients are all 0, has nothing to be weighed against.
            let share = product(gradient, bytes) / largest;
            let share = if share.is_finite() { share } else { 1.0 };
            layers[index].set(SHARE, &Tensor::new(share, &Device::Cpu)?);
        }
        Ok(())
    }
}
