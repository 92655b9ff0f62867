//! How memory rises and falls in a step of training, found from shapes alone.

use std::ops::Range;
use std::sync::Arc;

use candle_core::Tensor;
use packlight_autograd::{Entry, StepPeak};
use packlight_spec::LayerKind;

use crate::footprint::go_through;
use crate::model::{Inputs, blanks_of};
use crate::{Block, Model, ModelSpec, Plan, Result};

/// What a step of exact training holds from layer to layer, and what it holds where a block is recomputed.
///
/// It is found as a [`Footprint`](crate::Footprint) is, and has its limits; workspace
/// is left out, so that it is the same on every machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Course {
    /// The layers that save anything, in forward order.
    pub layers: Vec<At>,
    /// The blocks that can be recomputed, in forward order.
    pub blocks: Vec<Recomputed>,
}

/// A step while one of its passes is at a layer: that layer and all before it keep what they saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At {
    /// The layer.
    pub layer: Arc<str>,
    /// The most bytes that it then holds beside what is kept: parameters, buffers, the optimizer's state,
    /// the gradients of parameters so far, activations and their gradients on their way, and the inputs that an
    /// operation would restore if they were packed.
    pub beside: usize,
    /// The same where the layer's own input is exact. Where an operation reads what several layers saved, the
    /// inputs of all but the one that saved last may have to be restored all the same.
    pub exact: usize,
}

/// A block while it is recomputed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recomputed {
    /// The block.
    pub block: String,
    /// Its layers.
    pub layers: Vec<String>,
    /// Bytes of its input, which the forward pass keeps in place of all that its layers save.
    pub input: usize,
    /// Bytes that its layers save again, with every layer exact.
    pub again: usize,
    /// The most that the step then holds, less what is kept for layers before the block.
    pub step: usize,
}

impl Course {
    /// Goes through a step of exact training of the model that `spec` describes, over inputs and labels of
    /// the given shapes, whose values do not count. The optimizer keeps `optimizer_state` numbers for each
    /// of a parameter.
    ///
    /// # Errors
    /// Returns an error if the model and the shapes do not fit each other.
    pub fn of(
        spec: &ModelSpec,
        inputs: &Inputs,
        labels: &Tensor,
        dtype: candle_core::DType,
        optimizer_state: usize,
    ) -> Result<Self> {
        let samples = inputs.samples();
        let blanks = || -> Result<(Inputs, Tensor)> {
            Ok((inputs.blanks(samples, dtype)?, blanks_of(labels, samples, labels.dtype())?))
        };
        let (model, ledger) = go_through(spec, &Plan::parse("none")?, dtype, blanks()?)?;
        let resident = resident(&model, dtype.size_in_bytes(), optimizer_state);
        let layers = layers(&ledger.entries(), &ledger.moments(), resident);
        let mut blocks = Vec::new();
        if !model.parameters().blocks().is_empty() {
            let (model, ledger) = go_through(spec, &Plan::parse("recompute=*")?, dtype, blanks()?)?;
            let (entries, moments) = (ledger.entries(), ledger.moments());
            let all = model.parameters().blocks().iter();
            blocks = all
                .filter_map(|block| recomputed(&model, block, &entries, &moments, resident))
                .collect();
        }
        Ok(Self { layers, blocks })
    }
}

/// Bytes of parameters, buffers and the optimizer's state.
fn resident(model: &Model, size: usize, optimizer_state: usize) -> usize {
    let parameters = model.parameters();
    let buffers: usize = parameters.buffers().map(|(_, var)| var.elem_count()).sum();
    size * (buffers + (1 + optimizer_state) * parameters.count())
}

fn layers(entries: &[Entry], moments: &[StepPeak], resident: usize) -> Vec<At> {
    let mut layers: Vec<At> = Vec::new();
    // What is kept in the forward pass once each layer has saved.
    let mut kept: Vec<usize> = Vec::new();
    for entry in entries {
        let before = kept.last().copied().unwrap_or_default();
        match layers.iter().position(|at| at.layer == entry.layer) {
            Some(known) => kept[known..].iter_mut().for_each(|kept| *kept += entry.bytes.total()),
            None => {
                let layer = entry.layer.clone();
                layers.push(At { layer, beside: resident, exact: resident });
                kept.push(before + entry.bytes.total());
            }
        }
    }
    for moment in moments {
        let at = kept.partition_point(|&kept| kept < moment.kept);
        if let (Some(layer), Some(kept)) = (layers.get_mut(at), kept.get(at)) {
            let beside =
                |restored: usize| (resident + moment.held() + restored).saturating_sub(*kept);
            let others = match moment.layer.as_ref() == Some(&layer.layer) {
                true => moment.restorable_of_others,
                false => moment.restorable,
            };
            layer.beside = layer.beside.max(beside(moment.restorable));
            layer.exact = layer.exact.max(beside(others));
        }
    }
    layers
}

/// What a block keeps where it is recomputed; `None` if something else has kept its input before.
fn recomputed(
    model: &Model,
    block: &Block,
    entries: &[Entry],
    moments: &[StepPeak],
    resident: usize,
) -> Option<Recomputed> {
    let layers = &model.save_points()[block.layers.clone()];
    let is_own = |name: &str| layers.iter().any(|layer| layer.name() == name);
    let inputs = model.save_points().iter().filter(|layer| {
        let beside = layer.name().strip_prefix(block.name.as_str());
        let of_block = beside.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        layer.kind() == LayerKind::Segment && of_block
    });
    let inputs: Vec<&str> = inputs.map(|layer| layer.name()).collect();
    let is_input = |name: &str| inputs.contains(&name);
    let from = entries.iter().position(|entry| !entry.again && is_input(&entry.layer))?;
    let forward = |range: Range<usize>| entries[range].iter().filter(|entry| !entry.again);
    let before: usize = forward(0..from).map(|entry| entry.bytes.total()).sum();
    let input = forward(from..entries.len()).filter(|entry| is_input(&entry.layer));
    let again = entries.iter().filter(|entry| entry.again && is_own(&entry.layer));
    let (input, again) = (bytes(input), bytes(again));
    let within = |moment: &&StepPeak| {
        moment.layer.as_deref().is_some_and(|layer| is_own(layer) || is_input(layer))
    };
    let held = moments.iter().filter(within).map(StepPeak::held).max().unwrap_or_default();
    Some(Recomputed {
        block: block.name.clone(),
        layers: layers.iter().map(|layer| layer.name().to_owned()).collect(),
        input,
        again,
        step: resident + held.saturating_sub(before).max(input + again),
    })
}

fn bytes<'a>(entries: impl Iterator<Item = &'a Entry>) -> usize {
    entries.map(|entry| entry.bytes.total()).sum()
}
