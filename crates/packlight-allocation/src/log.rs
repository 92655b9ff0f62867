//! What a log of scores is about: one network, measured in one study.

use std::collections::BTreeMap;

use packlight_record::{
    BlockFacts, KeptKind, LayerFacts, LossChange, OneOff, Score, SensitivityRecord,
};
use packlight_spec::Point;

use crate::estimate::Cluster;
use crate::{Error, Result};

/// A log that was checked.
pub(crate) struct Log<'a> {
    /// In forward order.
    pub(crate) layers: Vec<LayerFacts>,
    /// Bytes of masks and statistics by layer.
    pub(crate) fixed: Vec<(String, u64)>,
    /// Those that save anything, in forward order, with what a step holds there beside what is kept.
    pub(crate) course: Vec<(String, u64)>,
    pub(crate) blocks: Vec<BlockFacts>,
    /// Those of the point that was asked for.
    pub(crate) scores: Vec<&'a Score>,
    /// What these were measured on, in the order of points, seeds and batches.
    pub(crate) clusters: Vec<Cluster>,
    /// The largest number of updates after which losses were compared at this point.
    pub(crate) horizon: Option<u64>,
    /// The changes of the loss after so many.
    pub(crate) losses: Vec<&'a LossChange>,
    /// Those of this point.
    pub(crate) one_offs: Vec<&'a OneOff>,
}

impl<'a> Log<'a> {
    pub(crate) fn read(records: &'a [SensitivityRecord], point: Option<Point>) -> Result<Self> {
        let mut layers: Vec<LayerFacts> = Vec::new();
        let mut fixed: BTreeMap<(&str, KeptKind), u64> = BTreeMap::new();
        let (mut scores, mut losses): (Vec<&Score>, Vec<&LossChange>) = (Vec::new(), Vec::new());
        let mut one_offs: Vec<&OneOff> = Vec::new();
        let (mut course, mut blocks) = (Vec::new(), Vec::new());
        for record in records {
            match record {
                SensitivityRecord::Layer(facts) => add_layer(&mut layers, facts)?,
                SensitivityRecord::Fixed { layer, kind, bytes } => {
                    let before = *fixed.entry((layer, *kind)).or_insert(*bytes);
                    if before != *bytes {
                        let reason = format!("keeps {before} B of {}, and {bytes} B", kind.name());
                        return Err(mixed(layer, reason));
                    }
                }
                SensitivityRecord::At { layer, beside } => course.push((layer.clone(), *beside)),
                SensitivityRecord::Block(block) => blocks.push(block.clone()),
                SensitivityRecord::Score(score) => scores.push(score),
                SensitivityRecord::Loss(change) => losses.push(change),
                SensitivityRecord::OneOff(one_off) => one_offs.push(one_off),
            }
        }
        check_states(&layers, &scores, &losses, &one_offs)?;
        if scores.is_empty() {
            return Err(Error::NoScores);
        }
        let measured = points(&scores);
        if let Some(point) = point {
            scores.retain(|score| score.point == point);
            losses.retain(|change| change.point == point);
            one_offs.retain(|one_off| one_off.point == point);
            if scores.is_empty() {
                return Err(Error::NoScoresAt { point, measured });
            }
        }
        let clusters = clusters(&scores);
        let horizon = losses.iter().map(|change| change.horizon).max();
        losses.retain(|change| Some(change.horizon) == horizon);
        let fixed = fixed.into_iter().map(|((layer, _), bytes)| (layer.to_owned(), bytes));
        let fixed = fixed.collect();
        Ok(Self { layers, fixed, course, blocks, scores, clusters, horizon, losses, one_offs })
    }
}

/// Adds a layer, which may stand there again if more of it was measured later.
fn add_layer(layers: &mut Vec<LayerFacts>, facts: &LayerFacts) -> Result<()> {
    let Some(before) = layers.iter_mut().find(|before| before.layer == facts.layer) else {
        layers.push(facts.clone());
        return Ok(());
    };
    before.measured |= facts.measured;
    match *before == (LayerFacts { measured: before.measured, ..facts.clone() }) {
        true => Ok(()),
        false => Err(mixed(&facts.layer, "stands there twice, with other facts".to_owned())),
    }
}

/// Checks that all that was measured is of these layers, and that of one batch on the same weights.
fn check_states(
    layers: &[LayerFacts],
    scores: &[&Score],
    losses: &[&LossChange],
    one_offs: &[&OneOff],
) -> Result<()> {
    let mut states: BTreeMap<(u64, u64, u64), &str> = BTreeMap::new();
    let scores = scores.iter().map(|of| (Some(&of.layer), of.point, of.seed, of.batch, &of.state));
    let losses = losses.iter().map(|of| (Some(&of.layer), of.point, of.seed, of.batch, &of.state));
    let one_offs =
        one_offs.iter().map(|of| (of.except.as_ref(), of.point, of.seed, of.batch, &of.state));
    for (layer, point, seed, batch, state) in scores.chain(losses).chain(one_offs) {
        if let Some(layer) = layer.filter(|&layer| layers.iter().all(|facts| facts.layer != *layer))
        {
            return Err(mixed(layer, "has scores, but is no layer of the network".into()));
        }
        let place = (point.share().to_bits(), seed, batch);
        if *states.entry(place).or_insert(state) != *state {
            let reason =
                format!("measured at {point}, seed {seed}, batch {batch} on other weights or data");
            return Err(mixed(layer.map_or("all layers", String::as_str), reason));
        }
    }
    Ok(())
}

fn mixed(layer: &str, reason: String) -> Error {
    Error::Mixed { layer: layer.to_owned(), reason }
}

fn points(scores: &[&Score]) -> Vec<Point> {
    let mut points: Vec<Point> = scores.iter().map(|score| score.point).collect();
    points.sort_by(|a, b| a.share().total_cmp(&b.share()));
    points.dedup();
    points
}

fn clusters(scores: &[&Score]) -> Vec<Cluster> {
    let mut clusters: Vec<Cluster> = scores.iter().map(|score| Cluster::of(score)).collect();
    clusters.sort_by(Cluster::cmp);
    clusters.dedup();
    clusters
}
