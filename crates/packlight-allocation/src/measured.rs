//! What was measured of each layer, averaged.

use std::collections::{BTreeMap, HashMap};

use packlight_record::{Compared, LayerFacts, Score, SensitivityRecord};
use packlight_spec::Point;
use serde::Serialize;

use crate::estimate::{Bootstrap, Cluster, Estimate, Sampling, interval};
use crate::log::Log;
use crate::timeline::Timeline;
use crate::{Allocation, Error, Objective, Result};

/// The codec of a layer that is kept as it is.
pub(crate) const EXACT: &str = "none";

/// An exact gradient of a layer that is not larger than this share of the whole gradient is taken for
/// rounding: the values that cancel in it are of the order of the whole gradient, each is rounded to
/// `f32::EPSILON` of its size, and a sum of many of them loses a few bits more.
const FLOOR: f64 = 16.0 * f32::EPSILON as f64;

/// What was measured of the layers of a network, averaged over batches, seeds and points.
#[derive(Debug, Clone)]
pub struct Measured {
    layers: Vec<LayerChoices>,
    timeline: Timeline,
    /// Whether allocations may recompute blocks.
    recomputes: bool,
    /// Seconds of a pass forward and back with every layer exact, where they were measured.
    pub(crate) pass_seconds: Option<f64>,
    left_out: Vec<LeftOut>,
    /// What all layers together were measured on.
    pub(crate) clusters: Vec<Cluster>,
    pub(crate) bootstrap: Bootstrap,
}

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
    #[serde(skip)]
    pub(crate) sampling: Sampling,
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
    /// The lasting relative squared error of the whole gradient; see [`Score::lasting_error`].
    pub error: Estimate,
    /// Seconds of packing and restoring, where they were measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// What these seconds cost in a search, in units of error.
    #[serde(skip)]
    pub(crate) price: f64,
    /// The mean cosine between the gradients that were compared, where it is defined.
    pub cosine: Option<f64>,
    /// The error on each batch of the layer's sampling.
    #[serde(skip)]
    pub(crate) errors: Vec<f64>,
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

impl Measured {
    /// Averages the scores of one point of the training, or of all.
    ///
    /// # Errors
    /// Returns an error if there are no scores, none at this point, or if those of two networks or
    /// trainings are mixed.
    pub fn new(records: &[SensitivityRecord], point: Option<Point>) -> Result<Self> {
        let log = Log::read(records, point)?;
        let bootstrap = Bootstrap::new(log.clusters.len());
        let mut left_out = Vec::new();
        let mut by_layer: HashMap<&str, Vec<&Score>> = HashMap::new();
        for score in log.scores.iter().filter(|score| score.codec != EXACT) {
            by_layer.entry(&score.layer).or_default().push(score);
        }
        let of_layer = |facts: &LayerFacts| {
            let scores = by_layer.get(facts.layer.as_str()).map_or(&[][..], Vec::as_slice);
            layer_choices(facts, scores, &log.clusters, &bootstrap, &mut left_out)
        };
        let mut layers: Vec<LayerChoices> = log.layers.iter().map(of_layer).collect();
        agree_on_copies(&mut layers);
        let timeline = Timeline::new(&layers, &log);
        let clusters = log.clusters;
        Ok(Self {
            layers,
            timeline,
            recomputes: false,
            pass_seconds: None,
            left_out,
            clusters,
            bootstrap,
        })
    }

    /// The same, with allocations that may recompute blocks. A recomputed block has no error: its layers are
    /// exact. It keeps its input, and what its layers save is there only while the backward pass goes back
    /// through it. It takes the time of its forward pass once more, so none is recomputed in vain.
    ///
    /// # Errors
    /// Returns an error if no block can be recomputed, or the log says nothing of blocks.
    pub fn with_recomputing(self) -> Result<Self> {
        if !self.timeline.known {
            return Err(Error::Lacks { lacks: "what blocks keep that are recomputed" });
        }
        let mut left_out = self.left_out;
        left_out.extend(self.timeline.apart.iter().cloned());
        match self.timeline.blocks.is_empty() {
            true => Err(Error::NoBlocks),
            false => Ok(Self { recomputes: true, left_out, ..self }),
        }
    }

    /// The same, with bytes that are those of a training step at its peak: parameters, buffers, the
    /// optimizer's state and gradients, besides what is kept.
    ///
    /// # Errors
    /// Returns an error if the log does not say what a step holds.
    pub fn of_steps(mut self) -> Result<Self> {
        if !self.timeline.known {
            return Err(Error::Lacks { lacks: "what a step holds beside what is kept" });
        }
        self.timeline.whole_step = true;
        Ok(self)
    }

    /// The same without any codec: allocations can only recompute blocks.
    #[must_use]
    pub fn without_codecs(mut self) -> Self {
        self.layers.iter_mut().for_each(|layer| layer.choices.truncate(1));
        self
    }

    /// The layers in forward order.
    pub fn layers(&self) -> &[LayerChoices] {
        &self.layers
    }

    /// What was measured, but cannot be chosen, and why.
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// The bytes of masks and statistics, which are kept whatever packs the inputs.
    pub fn fixed_bytes(&self) -> u64 {
        self.timeline.places.iter().map(|place| place.fixed).sum()
    }

    /// The most bytes with every layer exact and nothing recomputed, fixed bytes included.
    pub fn exact_bytes(&self) -> u64 {
        self.peak(&vec![0; self.layers.len()], &[]).0
    }

    /// The name of the block with this number.
    pub fn block(&self, number: usize) -> Option<&str> {
        Some(&self.timeline.blocks.get(number)?.facts.block)
    }

    /// For each layer, the recomputed block of an allocation that it is in.
    pub fn recomputed(&self, allocation: &Allocation) -> Vec<Option<&str>> {
        let of = |layer| self.block(self.timeline.block_of(layer, &allocation.recomputed)?);
        (0..self.layers.len()).map(of).collect()
    }

    /// The most bytes that an allocation keeps at once, whatever else a step holds.
    pub fn kept_bytes(&self, allocation: &Allocation) -> u64 {
        let kept = Timeline { whole_step: false, ..self.timeline.clone() };
        let chosen = self.indices(allocation);
        kept.peak(&self.layers, &chosen, &allocation.recomputed, |choice| choice.bytes).0
    }

    /// All codecs that were measured at any layer, in the order of the log.
    pub fn codecs(&self) -> Vec<&str> {
        let mut codecs: Vec<&str> = Vec::new();
        for choice in self.layers.iter().flat_map(|layer| &layer.choices[1..]) {
            if !codecs.contains(&choice.codec.as_str()) {
                codecs.push(&choice.codec);
            }
        }
        codecs
    }

    /// The same codec at every layer that was measured with it, all others exact; `None` if it was
    /// measured at no layer. Its error is the sum.
    pub fn uniform(&self, codec: &str) -> Option<Allocation> {
        let chosen: Vec<Option<usize>> =
            self.layers.iter().map(|layer| layer.position(codec).filter(|&at| at > 0)).collect();
        chosen.iter().any(Option::is_some).then(|| {
            let chosen: Vec<usize> = chosen.into_iter().map(Option::unwrap_or_default).collect();
            self.allocation(&chosen, &[], Objective::Sum)
        })
    }

    /// The least bytes that an allocation kept in the measurements; less than its bytes only where
    /// these depend on the data.
    pub fn least_bytes(&self, allocation: &Allocation) -> u64 {
        let chosen = self.indices(allocation);
        let (timeline, recomputed) = (&self.timeline, &allocation.recomputed);
        timeline.peak(&self.layers, &chosen, recomputed, |choice| choice.least_bytes).0
    }

    /// The error of an allocation with its interval. All layers are resampled together, so what
    /// their errors have in common on a batch is in it.
    pub fn estimate(&self, allocation: &Allocation, objective: Objective) -> Estimate {
        let mut resampled: Vec<f64> = Vec::new();
        let mut n = 0;
        for (layer, choice) in self.layers.iter().zip(self.indices(allocation)) {
            let choice = &layer.choices[choice];
            if choice.errors.is_empty() {
                continue; // exact
            }
            let means = self.bootstrap.means(&layer.sampling, &choice.errors);
            n = n.max(choice.errors.len());
            match resampled.is_empty() {
                true => resampled = means,
                false => resampled
                    .iter_mut()
                    .zip(means)
                    .for_each(|(some, one)| *some = objective.add(*some, one)),
            }
        }
        match resampled.is_empty() {
            true => Estimate { mean: 0.0, low: 0.0, high: 0.0, n: 0 },
            false => interval(allocation.error, resampled, n),
        }
    }

    /// The allocation of the choices with these numbers, with these blocks recomputed.
    pub(crate) fn allocation(
        &self,
        chosen: &[usize],
        recomputed: &[usize],
        objective: Objective,
    ) -> Allocation {
        let choices =
            || self.layers.iter().zip(chosen).map(|(layer, &choice)| &layer.choices[choice]);
        Allocation {
            codecs: choices().map(|choice| choice.codec.clone()).collect(),
            recomputed: recomputed.to_vec(),
            bytes: self.peak(chosen, recomputed).0,
            error: choices().fold(0.0, |error, choice| objective.add(error, choice.error.mean)),
            gap: 0.0,
        }
    }

    /// The numbers of an allocation's choices; layers whose codec was not measured are exact.
    pub(crate) fn indices(&self, allocation: &Allocation) -> Vec<usize> {
        let of = |(layer, codec): (&LayerChoices, &String)| layer.position(codec).unwrap_or(0);
        self.layers.iter().zip(&allocation.codecs).map(of).collect()
    }

    /// The most bytes with the choices of these numbers and these blocks recomputed, fixed bytes included;
    /// and what is kept at the end of the forward pass.
    pub(crate) fn peak(&self, chosen: &[usize], recomputed: &[usize]) -> (u64, u64) {
        self.timeline.peak(&self.layers, chosen, recomputed, |choice| choice.bytes)
    }

    /// What was measured, to change it.
    pub(crate) fn parts(&mut self) -> (&mut [LayerChoices], &mut Timeline) {
        (&mut self.layers, &mut self.timeline)
    }

    pub(crate) fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// Whether allocations may recompute blocks.
    pub(crate) fn recomputes(&self) -> bool {
        self.recomputes
    }
}

impl LayerChoices {
    /// The number of the choice with this codec.
    pub(crate) fn position(&self, codec: &str) -> Option<usize> {
        self.choices.iter().position(|choice| choice.codec == codec)
    }
}

fn layer_choices(
    facts: &LayerFacts,
    scores: &[&Score],
    clusters: &[Cluster],
    bootstrap: &Bootstrap,
    left_out: &mut Vec<LeftOut>,
) -> LayerChoices {
    let number = |score: &Score| clusters.binary_search_by(|c| c.cmp(&Cluster::of(score)));
    let mut codecs: Vec<(&str, BTreeMap<usize, &Score>)> = Vec::new();
    for &score in scores {
        let Ok(cluster) = number(score) else { continue }; // the clusters are those of the scores
        let at = codecs.iter().position(|(codec, _)| *codec == score.codec);
        let at = at.unwrap_or_else(|| {
            codecs.push((&score.codec, BTreeMap::new()));
            codecs.len() - 1
        });
        let most_draws = codecs[at].1.entry(cluster).or_insert(score);
        if score.draws > most_draws.draws {
            *most_draws = score;
        }
    }
    let mut measured: Vec<usize> = codecs.iter().flat_map(|(_, by)| by.keys().copied()).collect();
    measured.sort_unstable();
    measured.dedup();
    if facts.measured && measured.is_empty() {
        let reason = "has no scores: no codec packs it, or the measurement has not come to it";
        left_out.push(LeftOut { layer: facts.layer.clone(), codec: None, reason: reason.into() });
    }

    let sampling = Sampling::new(clusters, measured);
    let mut choices = vec![exact(facts)];
    for (codec, by_cluster) in codecs {
        match choice(codec, &by_cluster, &sampling, clusters, bootstrap) {
            Ok(choice) => choices.push(choice),
            Err(reason) => {
                let (layer, codec) = (facts.layer.clone(), Some(codec.to_owned()));
                left_out.push(LeftOut { layer, codec, reason });
            }
        }
    }
    LayerChoices { facts: facts.clone(), at_floor: is_at_floor(scores), choices, sampling }
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
        errors: Vec::new(),
    }
}

/// Averages the scores of a codec, or says why they cannot be used.
fn choice(
    codec: &str,
    by_cluster: &BTreeMap<usize, &Score>,
    sampling: &Sampling,
    clusters: &[Cluster],
    bootstrap: &Bootstrap,
) -> Result<Choice, String> {
    let mut errors = Vec::new();
    for &cluster in sampling.clusters() {
        let Cluster { point, seed, batch } = clusters[cluster];
        let here = || format!("at {point}, seed {seed}, batch {batch}");
        let Some(score) = by_cluster.get(&cluster) else {
            let go_on = "measure again, which goes on where it ended";
            return Err(format!("was not measured {}, unlike other codecs; {go_on}", here()));
        };
        let error = score.lasting_error();
        if !error.is_finite() {
            return Err(format!("its error {} is not finite", here()));
        }
        errors.push(error);
    }
    let scores = || by_cluster.values();
    let bytes = || scores().map(|score| score.kept_bytes);
    let copy = scores().next().map(|score| score.copy.clone()).unwrap_or_default();
    if scores().any(|score| score.copy != copy) {
        return Err("is said to share its copy in one measurement, and not in another".into());
    }
    Ok(Choice {
        codec: codec.to_owned(),
        bytes: bytes().max().unwrap_or_default(),
        least_bytes: bytes().min().unwrap_or_default(),
        copy,
        error: bootstrap.estimate(sampling, &errors),
        seconds: None,
        price: 0.0,
        cosine: mean(scores().filter_map(|score| score.fidelity.cosine)),
        errors,
    })
}

/// Whether the layer's own exact gradient is rounding on every batch.
fn is_at_floor(scores: &[&Score]) -> bool {
    let own = scores.iter().filter(|score| score.compared == Compared::Own);
    let shares = own.map(|score| score.fidelity.exact_norm / score.whole_norm);
    shares.reduce(f64::max).is_some_and(|largest| largest <= FLOOR)
}

/// Takes the same bytes for a copy at all layers that may share it.
fn agree_on_copies(layers: &mut [LayerChoices]) {
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
