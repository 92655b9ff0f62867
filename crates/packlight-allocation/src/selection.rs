//! Which measurements of a log count.

use std::collections::BTreeMap;

use packlight_record::{LossChange, OneOff, WholeError};
use packlight_spec::Point;

use crate::choices::EXACT;
use crate::estimate::Cluster;
use crate::log::{Log, Packing, mixed};
use crate::{Error, Result};

/// Which measurements of a log count, and what of them. By default, all do.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Those at these points of the training alone.
    pub points: Option<Vec<Point>>,
    /// Those of the training with this seed alone.
    pub seed: Option<u64>,
    /// The whole error of a pass in place of what averaging over steps leaves.
    pub of_one_pass: bool,
    /// Means alone, without intervals, which takes less time.
    pub without_intervals: bool,
}

impl Selection {
    /// The measurements at a point of the training, or all.
    pub fn at(point: Option<Point>) -> Self {
        Self { points: point.map(|point| vec![point]), ..Self::default() }
    }

    fn has(&self, cluster: &Cluster) -> bool {
        let at_point = self.points.as_ref().is_none_or(|points| points.contains(&cluster.point));
        at_point && self.seed.is_none_or(|seed| seed == cluster.seed)
    }
}

/// The part of a log that counts.
pub(crate) struct Selected<'a> {
    pub(crate) log: &'a Log,
    of_one_pass: bool,
    /// What scores were measured on, in the order of points, seeds and batches.
    pub(crate) clusters: Vec<Cluster>,
    /// By the number of the batch in the log: that of its cluster, if it counts.
    numbers: Vec<Option<usize>>,
    /// The largest number of updates after which losses were compared.
    pub(crate) horizon: Option<u64>,
    /// The changes of the loss after so many.
    pub(crate) losses: Vec<&'a LossChange>,
    pub(crate) one_offs: Vec<&'a OneOff>,
}

/// What a codec did at a layer on one batch.
#[derive(Clone, Copy)]
pub(crate) struct OnBatch<'a> {
    pub(crate) error: WholeError,
    pub(crate) cosine: Option<f64>,
    pub(crate) packing: &'a Packing,
}

impl<'a> Selected<'a> {
    pub(crate) fn new(log: &'a Log, selection: &Selection) -> Result<Self> {
        check(log)?;
        let points = log.points();
        if points.is_empty() {
            return Err(Error::NoScores);
        }
        let counts = |cluster: &Cluster| selection.has(cluster);
        let scored = log.batches.iter().filter(|batch| batch.has_scores);
        let clusters = Cluster::all(scored.map(|batch| batch.cluster).filter(counts));
        if clusters.is_empty() {
            let asked = selection.points.as_ref().and_then(|points| points.first());
            return Err(match asked {
                Some(&point) => Error::NoScoresAt { point, measured: points },
                None => Error::NoScores,
            });
        }
        let number = |cluster: &Cluster| cluster.number(&clusters);
        let numbers = log.batches.iter().map(|batch| number(&batch.cluster)).collect();
        let counts_loss = |of: &&LossChange| counts(&Cluster::of_change(of));
        let mut losses: Vec<_> = log.losses.iter().filter(counts_loss).collect();
        let horizon = losses.iter().map(|change| change.horizon).max();
        losses.retain(|change| Some(change.horizon) == horizon);
        let counts_one_off = |of: &&OneOff| counts(&Cluster::of_one_off(of));
        let one_offs = log.one_offs.iter().filter(counts_one_off).collect();
        let of_one_pass = selection.of_one_pass;
        Ok(Self { log, of_one_pass, clusters, numbers, horizon, losses, one_offs })
    }

    /// What each codec did at a layer, by the number of the cluster: of several measurements the first with the
    /// most draws.
    pub(crate) fn of_layer(&self, layer: &str) -> Vec<(&'a str, BTreeMap<usize, OnBatch<'a>>)> {
        let mut codecs = Vec::new();
        for (codec, scores) in self.log.of_layer(layer).filter(|(codec, _)| *codec != EXACT) {
            let mut by_cluster: BTreeMap<usize, OnBatch<'a>> = BTreeMap::new();
            for score in scores {
                let Some(number) = self.numbers[score.batch as usize] else { continue };
                let mut error = score.whole_error();
                error.squared_bias = error.squared_bias.filter(|_| !self.of_one_pass);
                let packing = &self.log.packings[score.packing as usize];
                let of = OnBatch { error, cosine: score.cosine(), packing };
                let most_draws = by_cluster.entry(number).or_insert(of);
                if packing.draws > most_draws.packing.draws {
                    *most_draws = of;
                }
            }
            if !by_cluster.is_empty() {
                codecs.push((codec, by_cluster));
            }
        }
        codecs
    }

    /// The codecs that passed errors on at any layer.
    pub(crate) fn passed_on(&self) -> Vec<&'a str> {
        let mut codecs = Vec::new();
        for (_, codec, scores) in self.log.series() {
            let passed_on = scores.iter().any(|score| {
                self.numbers[score.batch as usize].is_some()
                    && self.log.packings[score.packing as usize].by_all_gradients
            });
            if passed_on && !codecs.contains(&codec) {
                codecs.push(codec);
            }
        }
        codecs
    }

    /// The largest share of a layer's own exact gradient in the whole one.
    pub(crate) fn own_share(&self, layer: &str) -> Option<f64> {
        let shares = self.log.own_shares(layer).iter().zip(&self.numbers);
        let shares = shares.filter(|(share, number)| number.is_some() && !share.is_nan());
        shares.map(|(share, _)| *share).reduce(f64::max)
    }
}

/// Checks that all that was measured is of the layers of one network, and that of one batch on the same weights.
fn check(log: &Log) -> Result<()> {
    if let Some(conflict) = &log.conflict {
        return Err(conflict.clone());
    }
    let scores = log.series().map(|(layer, ..)| layer);
    let losses = log.losses.iter().map(|change| change.layer.as_str());
    let one_offs = log.one_offs.iter().filter_map(|one_off| one_off.except.as_deref());
    let is_known = |layer: &&str| log.layers.iter().any(|facts| facts.layer == **layer);
    match scores.chain(losses).chain(one_offs).find(|layer| !is_known(layer)) {
        Some(layer) => Err(mixed(layer, "has scores, but is no layer of the network".to_owned())),
        None => Ok(()),
    }
}
