//! What each layer can be packed with, averaged over the batches that it was measured on.

use std::collections::BTreeMap;

use packlight_record::{LayerFacts, LossChange};
use serde::Serialize;

use crate::Result;
use crate::estimate::{Estimate, Sampling};
use crate::lasting::lasting_errors;
use crate::loss::Changes;
use crate::selection::{OnBatch, Selected};
use crate::units::{Moves, Units};

/// The codec of a layer that is kept as it is.
pub(crate) const EXACT: &str = "none";

/// An exact gradient of a layer that is not larger than this share of the whole gradient is taken for
/// rounding: the values that cancel in it are of the order of the whole gradient, each is rounded to
/// `f32::EPSILON` of its size, and a sum of many of them loses a few bits more.
const FLOOR: f64 = 16.0 * f32::EPSILON as f64;

/// A layer and what it can be packed with.
#[derive(Debug, Clone, Serialize)]
pub struct LayerChoices {
    /// The layer.
    pub facts: LayerFacts,
    /// Whether its own exact gradient is at the numerical floor. Such a layer has no meaningful place
    /// among the others; its choices count all the same, as their errors are those of the whole
    /// gradient.
    pub at_floor: bool,
    /// The first is `none`, whose error is 0; then those that were measured, in the log's order.
    pub choices: Vec<Choice>,
    /// What trainings with a codec began on.
    #[serde(skip)]
    pub(crate) trained: Sampling,
}

/// A codec for a layer.
#[derive(Debug, Clone, Serialize)]
pub struct Choice {
    /// The codec.
    pub codec: String,
    /// The most bytes that it kept in any measurement.
    pub bytes: u64,
    /// The least; less than `bytes` only where they depend on the data.
    pub least_bytes: u64,
    /// The most bytes of the layer's input that are restored at a time.
    #[serde(skip)]
    pub(crate) restored_bytes: u64,
    /// What identifies the copy: layers of the same source share it if these are equal.
    pub copy: String,
    /// The lasting relative squared error of the whole gradient; see
    /// [`WholeError::lasting`](packlight_record::WholeError::lasting). A bias counts as far as it is more than
    /// chance.
    pub error: Estimate,
    /// Seconds of packing and restoring, where they were measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// What it costs in a search beside its error: its seconds, and where losses count, its error, which counts
    /// little beside them.
    #[serde(skip)]
    pub(crate) price: f64,
    /// The mean cosine between the gradients that were compared, where it is defined.
    pub cosine: Option<f64>,
    /// How much higher the loss is after [`Measured::horizon`] updates with this codec at this layer than
    /// after exact ones, where that was measured.
    ///
    /// [`Measured::horizon`]: crate::Measured::horizon
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<Estimate>,
    /// By how much the squared error of the codec at all its layers falls where this layer alone is exact:
    /// its own error, if the codec changes only the gradients of its layers' own weights; else where it was
    /// measured. It may be less than 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub one_off: Option<Estimate>,
    /// By how much each unit moves the mean error; none if the choice is exact.
    #[serde(skip)]
    pub(crate) moves: Moves,
    /// The change of the loss in each training, or why it is not known.
    #[serde(skip)]
    pub(crate) changes: Result<Vec<f64>, String>,
}

/// What was measured, but cannot be chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The layer.
    pub layer: String,
    /// The codec; all of them if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codec: Option<String>,
    /// Why.
    pub reason: String,
}

impl LayerChoices {
    /// The number of the choice with this codec.
    pub(crate) fn position(&self, codec: &str) -> Option<usize> {
        self.choices.iter().position(|choice| choice.codec == codec)
    }
}

/// Averages the scores of a layer. What cannot be used goes to `left_out`.
pub(crate) fn layer_choices(
    facts: &LayerFacts,
    log: &Selected<'_>,
    losses: &[&LossChange],
    units: &Units,
    left_out: &mut Vec<LeftOut>,
) -> LayerChoices {
    let codecs = log.of_layer(&facts.layer);
    let clusters = &log.clusters;
    let mut measured: Vec<usize> = codecs.iter().flat_map(|(_, by)| by.keys().copied()).collect();
    measured.sort_unstable();
    measured.dedup();
    if facts.measured && measured.is_empty() {
        let reason = "has no scores: no codec packs it, or the measurement has not come to it";
        left_out.push(LeftOut { layer: facts.layer.clone(), codec: None, reason: reason.into() });
    }

    let sampling = Sampling::new(clusters, measured);
    let losses = Changes::new(losses, clusters);
    let trained = Sampling::new(clusters, losses.clusters());
    let mut choices = vec![exact(facts)];
    for (codec, by_cluster) in codecs {
        match choice(codec, &by_cluster, &sampling, log) {
            Ok((mut choice, errors)) => {
                let restored = facts.restored_bytes.get(codec);
                choice.restored_bytes = restored.copied().unwrap_or(facts.raw_bytes);
                choice.moves = sampling.moves(units, &errors);
                choice.error = units.error(sampling.mean(&errors), &choice.moves, errors.len());
                choice.changes = losses.of(codec, &by_cluster, &trained, clusters);
                let known = choice.changes.as_ref().ok();
                choice.loss = known.map(|all| trained.estimate(units, all));
                choices.push(choice);
            }
            Err(reason) => {
                let (layer, codec) = (facts.layer.clone(), Some(codec.to_owned()));
                left_out.push(LeftOut { layer, codec, reason });
            }
        }
    }
    let at_floor = log.own_share(&facts.layer).is_some_and(|largest| largest <= FLOOR);
    LayerChoices { facts: facts.clone(), at_floor, choices, trained }
}

fn exact(facts: &LayerFacts) -> Choice {
    Choice {
        codec: EXACT.to_owned(),
        bytes: facts.raw_bytes,
        least_bytes: facts.raw_bytes,
        restored_bytes: 0,
        copy: facts.copy.clone(),
        error: Estimate::EXACT,
        cosine: None,
        seconds: Some(0.0),
        price: 0.0,
        loss: None,
        one_off: None,
        moves: Moves::new(),
        changes: Ok(Vec::new()),
    }
}

/// The choice of a codec with its error on each batch, which is yet to be averaged; or why its scores cannot be
/// used.
fn choice(
    codec: &str,
    by_cluster: &BTreeMap<usize, OnBatch<'_>>,
    sampling: &Sampling,
    log: &Selected<'_>,
) -> Result<(Choice, Vec<f64>), String> {
    let mut measured = Vec::new();
    for &cluster in sampling.clusters() {
        let here = || log.clusters[cluster].to_string();
        let Some(on_batch) = by_cluster.get(&cluster) else {
            let go_on = "measure again, which goes on where it ended";
            return Err(format!("was not measured {}, unlike other codecs; {go_on}", here()));
        };
        if !on_batch.error.lasting().is_finite() {
            return Err(format!("its error {} is not finite", here()));
        }
        measured.push(on_batch.error);
    }
    let packings = || by_cluster.values().map(|on_batch| on_batch.packing);
    let bytes = || packings().map(|packing| packing.kept_bytes);
    let copy = packings().next().map(|packing| packing.copy);
    if packings().any(|packing| Some(packing.copy) != copy) {
        return Err("is said to share its copy in one measurement, and not in another".into());
    }
    let choice = Choice {
        codec: codec.to_owned(),
        bytes: bytes().max().unwrap_or_default(),
        least_bytes: bytes().min().unwrap_or_default(),
        restored_bytes: 0,
        copy: copy.map(|copy| log.log.name(copy).to_owned()).unwrap_or_default(),
        error: Estimate::EXACT,
        seconds: None,
        price: 0.0,
        cosine: mean(by_cluster.values().filter_map(|on_batch| on_batch.cosine)),
        loss: None,
        one_off: None,
        moves: Moves::new(),
        changes: Ok(Vec::new()),
    };
    Ok((choice, lasting_errors(&measured, sampling)))
}

/// Takes the same bytes for a copy at all layers that may share it.
pub(crate) fn agree_on_copies(layers: &mut [LayerChoices]) {
    let mut copies: BTreeMap<(u64, String), (u64, u64)> = BTreeMap::new();
    for layer in layers.iter() {
        for choice in &layer.choices {
            let copy = copies.entry((layer.facts.source, choice.copy.clone()));
            let (most, least) = copy.or_insert((choice.bytes, choice.least_bytes));
            *most = choice.bytes.max(*most);
            *least = choice.least_bytes.min(*least);
        }
    }
    for layer in layers {
        for choice in &mut layer.choices {
            if let Some(&bytes) = copies.get(&(layer.facts.source, choice.copy.clone())) {
                (choice.bytes, choice.least_bytes) = bytes;
            }
        }
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.fold((0u64, 0.0), |(count, sum), value| (count + 1, sum + value));
    (count > 0).then(|| sum / count as f64)
}
