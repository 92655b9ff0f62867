//! What a log of scores is about: one network, measured in one study.

use std::collections::BTreeMap;

use packlight_record::{BlockFacts, KeptKind, LayerFacts, Score, SensitivityRecord};
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
}

impl<'a> Log<'a> {
    pub(crate) fn read(records: &'a [SensitivityRecord], point: Option<Point>) -> Result<Self> {
        let mut layers: Vec<LayerFacts> = Vec::new();
        let mut fixed: BTreeMap<(&str, KeptKind), u64> = BTreeMap::new();
        let mut scores: Vec<&Score> = Vec::new();
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
            }
        }
        check_states(&layers, &scores)?;
        if scores.is_empty() {
            return Err(Error::NoScores);
        }
        let measured = points(&scores);
        if let Some(point) = point {
            scores.retain(|score| score.point == point);
            if scores.is_empty() {
                return Err(Error::NoScoresAt { point, measured });
            }
        }
        let clusters = clusters(&scores);
        let fixed = fixed.into_iter().map(|((layer, _), bytes)| (layer.to_owned(), bytes));
        Ok(Self { layers, fixed: fixed.collect(), course, blocks, scores, clusters })
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

/// Checks that all scores are of these layers, and those of one batch on the same weights.
fn check_states(layers: &[LayerFacts], scores: &[&Score]) -> Result<()> {
    let mut states: BTreeMap<(u64, u64, u64), &str> = BTreeMap::new();
    for score in scores {
        if !layers.iter().any(|facts| facts.layer == score.layer) {
            return Err(mixed(&score.layer, "has scores, but is no layer of the network".into()));
        }
        let batch = (score.point.share().to_bits(), score.seed, score.batch);
        if *states.entry(batch).or_insert(&score.state) != score.state {
            let Score { point, seed, batch, .. } = score;
            let reason =
                format!("measured at {point}, seed {seed}, batch {batch} on other weights or data");
            return Err(mixed(&score.layer, reason));
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
