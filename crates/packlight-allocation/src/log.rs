//! A log of the scores of single layers, with what is needed of each score.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};

use packlight_record::{
    BlockFacts, Compared, KeptKind, LayerFacts, LossChange, OneOff, Score, SensitivityRecord,
    WholeError,
};
use packlight_spec::Point;

use crate::Error;
use crate::choices::EXACT;
use crate::estimate::Cluster;

/// The log of one study, in so little memory that it may have millions of scores: names are numbers, and of each
/// score only the numbers are there that are averaged.
///
/// A log may be made in pieces, each from the records that follow those of the piece before.
#[derive(Debug, Clone, Default)]
pub struct Log {
    /// In forward order.
    pub(crate) layers: Vec<LayerFacts>,
    /// Bytes of masks and statistics by layer.
    pub(crate) fixed: BTreeMap<(String, KeptKind), u64>,
    /// The layers that save anything, in forward order.
    pub(crate) course: Vec<At>,
    pub(crate) blocks: Vec<BlockFacts>,
    pub(crate) losses: Vec<LossChange>,
    pub(crate) one_offs: Vec<OneOff>,
    /// What was measured on, in the order in which that was first done.
    pub(crate) batches: Vec<Batch>,
    batch_numbers: HashMap<(u64, u64, u64), usize>,
    pub(crate) packings: Vec<Packing>,
    packing_numbers: HashMap<Packing, usize>,
    /// Those of layers, codecs and copies.
    names: Names,
    series: Vec<Series>,
    series_numbers: HashMap<(usize, usize), usize>,
    /// By the number of the layer's name, then by that of the batch: the share of the layer's own exact gradient
    /// in the whole one, the largest of several; NaN where the codecs were compared by all gradients.
    own_shares: Vec<Vec<f64>>,
    /// What is wrong with it.
    pub(crate) conflict: Option<Error>,
}

/// A layer that saves anything.
#[derive(Debug, Clone)]
pub(crate) struct At {
    pub(crate) layer: String,
    /// What a step holds there beside what is kept if a codec packs the layer's input, and if none does.
    pub(crate) beside: u64,
    pub(crate) exact: u64,
}

/// A batch at a point of the training of a seed.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) cluster: Cluster,
    /// See [`Score::state`].
    state: String,
    /// The layer of the first measurement on it; `None` if it was of all layers.
    layer: Option<String>,
    /// Whether a score was measured on it.
    pub(crate) has_scores: bool,
}

/// What a codec made of an input, with the number of the copy's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Packing {
    pub(crate) draws: u64,
    pub(crate) kept_bytes: u64,
    pub(crate) copy: usize,
    pub(crate) by_all_gradients: bool,
}

/// The scores of one codec at one layer.
#[derive(Debug, Clone)]
struct Series {
    layer: usize,
    codec: usize,
    scores: Vec<Brief>,
}

/// The numbers of a score that are averaged; NaN stands for undefined ones.
#[derive(Debug, Clone, Copy)]
pub struct Brief {
    pub(crate) batch: u32,
    pub(crate) packing: u32,
    squared_error: f64,
    squared_bias: f64,
    whole_norm: f64,
    cosine: f64,
    nonpositive: f64,
}

impl Brief {
    /// The error of the whole gradient.
    pub fn whole_error(&self) -> WholeError {
        let squared_bias = defined(self.squared_bias);
        let &Self { squared_error, whole_norm, .. } = self;
        WholeError { squared_error, squared_bias, whole_norm }
    }

    /// The cosine between the gradients that were compared.
    pub fn cosine(&self) -> Option<f64> {
        defined(self.cosine)
    }

    /// The share of samples or tokens whose learning indicator is at or below 0.
    pub fn nonpositive(&self) -> Option<f64> {
        defined(self.nonpositive)
    }
}

fn defined(number: f64) -> Option<f64> {
    Some(number).filter(|number| !number.is_nan())
}

/// Names by their numbers.
#[derive(Debug, Clone, Default)]
struct Names {
    all: Vec<String>,
    numbers: HashMap<String, usize>,
}

impl Names {
    fn number(&mut self, name: &str) -> usize {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        self.numbers.insert(name.to_owned(), self.all.len());
        self.all.push(name.to_owned());
        self.all.len() - 1
    }
}

impl<R: Borrow<SensitivityRecord>> FromIterator<R> for Log {
    fn from_iter<T: IntoIterator<Item = R>>(records: T) -> Self {
        let mut log = Self::default();
        for record in records {
            log.add(record.borrow());
        }
        log
    }
}

impl Log {
    /// Adds a record. Returns the number of its series if it is a score.
    pub fn add(&mut self, record: &SensitivityRecord) -> Option<usize> {
        match record {
            SensitivityRecord::Layer(facts) => self.add_layer(facts),
            SensitivityRecord::Fixed { layer, kind, bytes } => {
                self.add_fixed(layer, *kind, *bytes);
            }
            SensitivityRecord::At { layer, beside, exact } => {
                let (beside, exact) = (*beside, exact.unwrap_or(*beside));
                self.course.push(At { layer: layer.clone(), beside, exact });
            }
            SensitivityRecord::Block(block) => self.blocks.push(block.clone()),
            SensitivityRecord::Loss(change) => {
                self.batch(Cluster::of_change(change), &change.state, Some(&change.layer));
                self.losses.push(change.clone());
            }
            SensitivityRecord::OneOff(one_off) => {
                let layer = one_off.except.as_deref();
                self.batch(Cluster::of_one_off(one_off), &one_off.state, layer);
                self.one_offs.push(one_off.clone());
            }
            SensitivityRecord::Score(score) => return Some(self.add_score(score)),
        }
        None
    }

    /// Adds the records of a log that follows this one. Returns the number that each of its series has here.
    pub fn append(&mut self, later: Self) -> Vec<usize> {
        later.layers.iter().for_each(|facts| self.add_layer(facts));
        for ((layer, kind), bytes) in &later.fixed {
            self.add_fixed(layer, *kind, *bytes);
        }
        self.course.extend(later.course);
        self.blocks.extend(later.blocks);
        self.losses.extend(later.losses);
        self.one_offs.extend(later.one_offs);
        let names: Vec<usize> =
            later.names.all.iter().map(|name| self.names.number(name)).collect();
        let mut batch = |of: &Batch| {
            let number = self.batch(of.cluster, &of.state, of.layer.as_deref());
            self.batches[number].has_scores |= of.has_scores;
            number
        };
        let batches: Vec<usize> = later.batches.iter().map(&mut batch).collect();
        let mut packing =
            |of: &Packing| self.packing(Packing { copy: names[of.copy], ..*of }) as u32;
        let packings: Vec<u32> = later.packings.iter().map(&mut packing).collect();
        for (layer, shares) in later.own_shares.iter().enumerate() {
            for (batch, &share) in shares.iter().enumerate() {
                self.add_own_share(names[layer], batches[batch], share);
            }
        }
        let mut series = |of: Series| {
            let number = self.series_number(names[of.layer], names[of.codec]);
            let here = |brief: Brief| Brief {
                batch: batches[brief.batch as usize] as u32,
                packing: packings[brief.packing as usize],
                ..brief
            };
            let scores = &mut self.series[number].scores;
            make_room(scores, of.scores.len());
            scores.extend(of.scores.into_iter().map(here));
            number
        };
        let numbers = later.series.into_iter().map(&mut series).collect();
        self.conflict = self.conflict.take().or(later.conflict);
        numbers
    }

    /// Whether no record was added.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty() && self.batches.is_empty()
    }

    /// Layer, codec and scores of each series, in the order in which they were first measured. Their numbers
    /// count them from 0.
    pub fn series(&self) -> impl Iterator<Item = (&str, &str, &[Brief])> {
        let names = &self.names.all;
        self.series.iter().map(|of| (&*names[of.layer], &*names[of.codec], of.scores.as_slice()))
    }

    /// The points of the training at which scores were measured, ascending.
    pub fn points(&self) -> Vec<Point> {
        let mut points: Vec<Point> = self.scored().map(|cluster| cluster.point).collect();
        points.sort_by(|a, b| a.share().total_cmp(&b.share()));
        points.dedup();
        points
    }

    /// The seeds of the trainings, ascending.
    pub fn seeds(&self) -> Vec<u64> {
        let mut seeds: Vec<u64> = self.scored().map(|cluster| cluster.seed).collect();
        seeds.sort_unstable();
        seeds.dedup();
        seeds
    }

    /// The most batches at a point of a seed, and the most draws of a batch.
    pub fn batches_and_draws(&self) -> (u64, u64) {
        let batches = self.scored().map(|cluster| cluster.batch + 1).max();
        let draws = self.packings.iter().map(|packing| packing.draws).max();
        (batches.unwrap_or_default(), draws.unwrap_or_default())
    }

    /// The series of a layer, each with its codec.
    pub(crate) fn of_layer(&self, layer: &str) -> impl Iterator<Item = (&str, &[Brief])> {
        let of_layer = move |(of, codec, scores)| (of == layer).then_some((codec, scores));
        self.series().filter_map(of_layer)
    }

    /// The share of a layer's own exact gradient in the whole one, by the number of the batch.
    pub(crate) fn own_shares(&self, layer: &str) -> &[f64] {
        let shares = self.names.numbers.get(layer).and_then(|&layer| self.own_shares.get(layer));
        shares.map_or(&[], Vec::as_slice)
    }

    pub(crate) fn name(&self, number: usize) -> &str {
        &self.names.all[number]
    }

    fn scored(&self) -> impl Iterator<Item = Cluster> {
        self.batches.iter().filter(|batch| batch.has_scores).map(|batch| batch.cluster)
    }

    /// Adds a layer, which may stand there again if more of it was measured later.
    fn add_layer(&mut self, facts: &LayerFacts) {
        let Some(before) = self.layers.iter_mut().find(|before| before.layer == facts.layer) else {
            self.layers.push(facts.clone());
            return;
        };
        before.measured |= facts.measured;
        before.restored_bytes.extend(facts.restored_bytes.clone());
        let (measured, restored_bytes) = (before.measured, before.restored_bytes.clone());
        if *before != (LayerFacts { measured, restored_bytes, ..facts.clone() }) {
            self.refuse(&facts.layer, "stands there twice, with other facts".to_owned());
        }
    }

    fn add_fixed(&mut self, layer: &str, kind: KeptKind, bytes: u64) {
        let before = *self.fixed.entry((layer.to_owned(), kind)).or_insert(bytes);
        if before != bytes {
            let reason = format!("keeps {before} B of {}, and {bytes} B", kind.name());
            self.refuse(layer, reason);
        }
    }

    fn add_score(&mut self, score: &Score) -> usize {
        let batch = self.batch(Cluster::of(score), &score.state, Some(&score.layer));
        self.batches[batch].has_scores = true;
        let layer = self.names.number(&score.layer);
        let codec = self.names.number(&score.codec);
        let by_all_gradients = score.compared == Compared::All;
        if !by_all_gradients && score.codec != EXACT {
            self.add_own_share(layer, batch, score.fidelity.exact_norm / score.whole_norm);
        }
        let packing = Packing {
            draws: score.draws,
            kept_bytes: score.kept_bytes,
            copy: self.names.number(&score.copy),
            by_all_gradients,
        };
        let brief = Brief {
            batch: batch as u32,
            packing: self.packing(packing) as u32,
            squared_error: score.squared_error,
            squared_bias: score.squared_bias.unwrap_or(f64::NAN),
            whole_norm: score.whole_norm,
            cosine: score.fidelity.cosine.unwrap_or(f64::NAN),
            nonpositive: score.learning_indicator.map_or(f64::NAN, |li| li.nonpositive),
        };
        let number = self.series_number(layer, codec);
        self.series[number].scores.push(brief);
        number
    }

    /// The number of a batch, which all has to be measured on the same weights and data.
    fn batch(&mut self, cluster: Cluster, state: &str, layer: Option<&str>) -> usize {
        let key = (cluster.point.share().to_bits(), cluster.seed, cluster.batch);
        let number = *self.batch_numbers.entry(key).or_insert(self.batches.len());
        match self.batches.get(number) {
            None => self.batches.push(Batch {
                cluster,
                state: state.to_owned(),
                layer: layer.map(str::to_owned),
                has_scores: false,
            }),
            Some(before) if before.state != *state => {
                let reason = format!("measured {cluster} on other weights or data");
                self.refuse(layer.unwrap_or("all layers"), reason);
            }
            Some(_) => {}
        }
        number
    }

    fn packing(&mut self, of: Packing) -> usize {
        let number = *self.packing_numbers.entry(of).or_insert(self.packings.len());
        if number == self.packings.len() {
            self.packings.push(of);
        }
        number
    }

    fn series_number(&mut self, layer: usize, codec: usize) -> usize {
        let number = *self.series_numbers.entry((layer, codec)).or_insert(self.series.len());
        if number == self.series.len() {
            self.series.push(Series { layer, codec, scores: Vec::new() });
        }
        number
    }

    fn add_own_share(&mut self, layer: usize, batch: usize, share: f64) {
        if self.own_shares.len() <= layer {
            self.own_shares.resize(layer + 1, Vec::new());
        }
        let shares = &mut self.own_shares[layer];
        if shares.len() <= batch {
            shares.resize(batch + 1, f64::NAN);
        }
        shares[batch] = shares[batch].max(share);
    }

    fn refuse(&mut self, layer: &str, reason: String) {
        self.conflict.get_or_insert_with(|| mixed(layer, reason));
    }
}

/// Reserves room for `more` scores, with little in advance: a vector that doubles is half empty at worst.
fn make_room(scores: &mut Vec<Brief>, more: usize) {
    if scores.capacity() - scores.len() < more {
        scores.reserve_exact(more.max(scores.len() / 8));
    }
}

pub(crate) fn mixed(layer: &str, reason: String) -> Error {
    Error::Mixed { layer: layer.to_owned(), reason }
}
