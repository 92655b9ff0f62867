//! The codecs that an adaptive plan chooses from, layer by layer.

use std::sync::Arc;

use packlight_allocation::{Measured, Selection};
use packlight_codec::Codec;
use packlight_probe::one_on::{Effect, Outcome};
use packlight_probe::{Packing, Survey, Surveyed};
use packlight_record::{Compared, Fidelity, Score, SensitivityRecord};
use packlight_spec::{Point, SensitivitySpec};

use crate::sensitivity::{On, Pair, is_included, pairs_at, saved, score};

/// A codec that a layer may get.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) pair: Pair,
    /// What it makes of a whole batch.
    packing: Packing,
    /// If all codecs of its layer take passes of their own: the number of the layer among such layers.
    turn: Option<u64>,
}

/// On so many parts of a measurement's batches layers are measured whose codecs take passes of their own. Levels of
/// a codec differ by far more than parts do, but of two parts alone no bias would be more than chance.
const PARTS: u64 = 4;

/// All of them, and what the network saves on a whole batch.
#[derive(Debug)]
pub(super) struct Candidates {
    pub(super) all: Vec<Candidate>,
    facts: Vec<SensitivityRecord>,
}

impl Candidates {
    /// Those of `spec` that can pack what the network saves on batches of any of some sizes. The first of
    /// `shapes` is of a whole batch, and `seen` of one that was computed.
    pub(super) fn new(
        spec: &SensitivitySpec,
        codecs: &[Arc<dyn Codec>],
        shapes: &[Survey],
        seen: &Survey,
    ) -> Self {
        let Some(whole) = shapes.first() else { return Self { all: vec![], facts: vec![] } };
        let at = |survey: &'_ Survey, pair: &Pair| -> Option<Packing> {
            let layer = survey.layers.iter().find(|at| at.layer.name() == &*pair.layer)?;
            let codec = codecs.iter().position(|codec| codec.spec() == pair.codec.spec())?;
            layer.codecs[codec].clone().ok()
        };
        let candidate = |pair: Pair| {
            let packing = shapes.iter().map(|survey| at(survey, &pair)).collect::<Option<Vec<_>>>();
            Some(Candidate { packing: packing?.into_iter().next()?, pair, turn: None })
        };
        let included = |surveyed: &&Surveyed| is_included(spec, &surveyed.layer);
        let layers = seen.layers.iter().filter(included);
        let all = layers.flat_map(|layer| pairs_at(layer, codecs)).filter_map(candidate);
        let mut all: Vec<Candidate> = all.collect();
        take_turns(&mut all);
        let pairs: Vec<Pair> = all.iter().map(|candidate| candidate.pair.clone()).collect();
        Self { all, facts: saved(whole, &pairs).collect() }
    }

    /// What was measured, averaged.
    pub(super) fn measured(&self, scores: Vec<Score>) -> packlight_allocation::Result<Measured> {
        let scores = scores.into_iter().map(SensitivityRecord::Score);
        let log = self.facts.iter().cloned().chain(scores).collect();
        let without_intervals = true; // nobody looks at them
        let selection = Selection { without_intervals, ..Selection::default() };
        Measured::of(&log, &selection)
    }

    /// The same as if no codec did any harm: what is left to choose by are bytes.
    pub(super) fn by_bytes_alone(&self) -> packlight_allocation::Result<Measured> {
        let on =
            On { point: Point::START, seed: 0, batch: 0, draws: 1, state: "", whole_norm: 1.0 };
        let harmless = |candidate: &Candidate| candidate.score(&on, Ok(harmless()));
        self.measured(self.all.iter().filter_map(harmless).collect())
    }
}

impl Candidate {
    /// The record of a trial on any batch, with the bytes of a whole one; `None` if it cannot be chosen.
    pub(super) fn score(&self, on: &On<'_>, outcome: Outcome) -> Option<Score> {
        let score = score(on, &self.pair, outcome).ok()?;
        let Packing { most_bytes, copy, .. } = self.packing.clone();
        Some(Score { kept_bytes: most_bytes, copy, ..score })
    }

    /// Whether it is measured on the part of this number, of so many.
    pub(super) fn is_measured_on(&self, number: u64, of: u64) -> bool {
        self.turn.is_none_or(|turn| is_turn(turn, number, of))
    }

    /// Whether it takes passes of its own.
    pub(super) fn is_alone(&self) -> bool {
        self.pair.compared == Compared::All
    }
}

/// Whether the layer of this turn is measured on a part: turns are spread, so that all together are on all parts.
fn is_turn(turn: u64, number: u64, of: u64) -> bool {
    let parts = PARTS.min(of);
    (0..parts).any(|n| (turn + n * of / parts) % of == number)
}

/// Gives turns to the layers whose codecs all take passes of their own.
fn take_turns(all: &mut [Candidate]) {
    let mut turn = 0;
    for of_layer in all.chunk_by_mut(|a, b| a.pair.layer == b.pair.layer) {
        if of_layer.iter().all(Candidate::is_alone) {
            of_layer.iter_mut().for_each(|candidate| candidate.turn = Some(turn));
            turn += 1;
        }
    }
}

fn harmless() -> Effect {
    let fidelity = Fidelity {
        cosine: None,
        relative_error: None,
        norm_ratio: None,
        snr_db: None,
        exact_norm: 1.0,
    };
    Effect {
        compared: Compared::All,
        fidelity,
        squared_error: 0.0,
        squared_bias: None,
        learning_indicator: None,
        kept_bytes: 0,
        copy: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_turn_is_on_as_many_parts_and_all_turns_are_on_all() {
        for of in 1..40 {
            let on = |turn| (0..of).filter(|&number| is_turn(turn, number, of)).count() as u64;
            assert!((0..50).all(|turn| on(turn) == PARTS.min(of)), "{of}");
            let any = |number| (0..of).any(|turn| is_turn(turn, number, of));
            assert!((0..of).all(any), "{of}");
        }
    }
}
