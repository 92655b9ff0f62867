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
}

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
            Some(Candidate { packing: packing?.into_iter().next()?, pair })
        };
        let included = |surveyed: &&Surveyed| is_included(spec, &surveyed.layer);
        let layers = seen.layers.iter().filter(included);
        let all = layers.flat_map(|layer| pairs_at(layer, codecs)).filter_map(candidate);
        let all: Vec<Candidate> = all.collect();
        let pairs: Vec<Pair> = all.iter().map(|candidate| candidate.pair.clone()).collect();
        Self { all, facts: saved(whole, &pairs).collect() }
    }

    /// What was measured, averaged.
    pub(super) fn measured(&self, scores: Vec<Score>) -> packlight_allocation::Result<Measured> {
        let scores = scores.into_iter().map(SensitivityRecord::Score);
        let records: Vec<SensitivityRecord> = self.facts.iter().cloned().chain(scores).collect();
        let without_intervals = true; // nobody looks at them
        let selection = Selection { without_intervals, ..Selection::default() };
        Measured::of(&records.iter().collect(), &selection)
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

    /// Whether it takes passes of its own.
    pub(super) fn is_alone(&self) -> bool {
        self.pair.compared == Compared::All
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
