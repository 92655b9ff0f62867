//! What each layer can be packed with, averaged over the batches that it was measured on.

use std::collections::BTreeMap;

use packlight_record::{LayerFacts, LossChange, VARIANCE_LEFT, WholeError};
use serde::Serialize;

use crate::Result;
use crate::bootstrap::Bootstrap;
use crate::estimate::{Estimate, Sampling, interval};
use crate::loss::Changes;
use crate::selection::{OnBatch, Selected};

/// The codec of a layer that is kept as it is.
pub(crate) const EXACT: &str = "none";

/// An exact gradient of a layer that is not larger than this share of the whole gradient is taken for
/// rounding: the values that cancel in it are of the order of the whole gradient, each is rounded to
/// `f32::EPSILON` of its size, and a sum of many of them loses a few bits more.
const FLOOR: f64 = 16.0 * f32::EPSILON as f64;

/// How many standard errors a bias has to be away from 0 to count: by chance, one of forty is.
const SIGNIFICANT: f64 = 2.0;

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
    /// What identifies the copy: layers of the same source share it if these are equal.
    pub copy: String,
    /// The lasting relative squared error of the whole gradient; see [`WholeError::lasting`]. A bias counts as far
    /// as it is more than chance.
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
    /// The mean error in each resample; none if the choice is exact.
    #[serde(skip)]
    pub(crate) resampled: Vec<f64>,
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
    bootstrap: &Bootstrap,
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
    let mut errors: Vec<Vec<f64>> = Vec::new();
    for (codec, by_cluster) in codecs {
        match choice(codec, &by_cluster, &sampling, log) {
            Ok((mut choice, own)) => {
                choice.changes = losses.of(codec, &by_cluster, &trained, clusters);
                let known = choice.changes.as_ref().ok();
                choice.loss = known.map(|all| bootstrap.estimate(&trained, all));
                choices.push(choice);
                errors.push(own);
            }
            Err(reason) => {
                let (layer, codec) = (facts.layer.clone(), Some(codec.to_owned()));
                left_out.push(LeftOut { layer, codec, reason });
            }
        }
    }
    let errors: Vec<&[f64]> = errors.iter().map(Vec::as_slice).collect();
    let resampled = bootstrap.means_of(&sampling, &errors);
    for ((choice, errors), resampled) in choices[1..].iter_mut().zip(errors).zip(resampled) {
        choice.error = interval(sampling.mean(errors), resampled.clone(), errors.len());
        choice.resampled = resampled;
    }
    let at_floor = log.own_share(&facts.layer).is_some_and(|largest| largest <= FLOOR);
    LayerChoices { facts: facts.clone(), at_floor, choices, trained }
}

fn exact(facts: &LayerFacts) -> Choice {
    Choice {
        codec: EXACT.to_owned(),
        bytes: facts.raw_bytes,
        least_bytes: facts.raw_bytes,
        copy: facts.copy.clone(),
        error: Estimate { mean: 0.0, low: 0.0, high: 0.0, n: 0 },
        cosine: None,
        seconds: Some(0.0),
        price: 0.0,
        loss: None,
        one_off: None,
        resampled: Vec::new(),
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
        copy: copy.map(|copy| log.log.name(copy).to_owned()).unwrap_or_default(),
        error: Estimate { mean: 0.0, low: 0.0, high: 0.0, n: 0 },
        seconds: None,
        price: 0.0,
        cosine: mean(by_cluster.values().filter_map(|on_batch| on_batch.cosine)),
        loss: None,
        one_off: None,
        resampled: Vec::new(),
        changes: Ok(Vec::new()),
    };
    Ok((choice, lasting_errors(&measured, sampling)))
}

/// The lasting errors of a codec's scores, with biases that count only as far as they are no chance.
///
/// A bias that is estimated by few draws is up or down by chance, often by more than the lasting error of a codec
/// without one. So it is drawn towards 0 by the factor `1 - (2 s / b)^2`, or to 0, where `b` is its mean and `s`
/// the standard error of that over the batches (the nonnegative garrote of Breiman, Better Subset Regression Using
/// the Nonnegative Garrote, Technometrics 37, 1995); the rest of the squared error is variance. Where nothing is
/// random, all of it is bias, and certain.
fn lasting_errors(errors: &[WholeError], sampling: &Sampling) -> Vec<f64> {
    let as_measured = || errors.iter().map(WholeError::lasting).collect();
    if errors.iter().all(|error| error.squared_bias == Some(error.squared_error)) {
        return as_measured();
    }
    let biases: Option<Vec<f64>> = errors.iter().map(WholeError::relative_squared_bias).collect();
    let Some(biases) = biases else { return as_measured() };
    let Some(variance) = sampling.variance(&biases) else { return as_measured() };
    let mean = sampling.mean(&biases);
    let chance = SIGNIFICANT.powi(2) * variance / mean.powi(2);
    let counts = if mean > 0.0 { (1.0 - chance).max(0.0) } else { 0.0 };
    let lasting = |(error, bias): (&WholeError, f64)| {
        let (error, bias) = (error.of_one_pass(), counts * bias);
        bias + VARIANCE_LEFT * (error - bias)
    };
    errors.iter().zip(biases).map(lasting).collect()
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
