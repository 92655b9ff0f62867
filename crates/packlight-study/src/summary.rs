//! The outcome of studies and their runs.

use serde::Serialize;

use crate::sensitivity::SensitivitySummary;

/// The outcome of a collection.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CollectionSummary {
    /// What the collection is about.
    pub title: String,
    /// The outcomes of its studies, in the collection's order.
    pub studies: Vec<StudySummary>,
}

/// The outcome of a study.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StudySummary {
    /// The study's name.
    pub study: String,
    /// The outcomes of its runs, in the order in which they ran.
    pub runs: Vec<RunSummary>,
    /// What was measured of single layers, if the study asks for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sensitivity: Option<SensitivitySummary>,
}

/// The outcome of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunSummary {
    /// The run's name, which is also the name of its folder in
    /// [`RUNS`](packlight_record::layout::RUNS).
    pub run: String,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It reached its planned end.
    Finished,
    /// It had finished before and was skipped.
    AlreadyFinished,
    /// It ended with an error, now or before.
    Failed {
        /// What went wrong.
        reason: String,
    },
}

impl CollectionSummary {
    /// Whether any run of any study failed.
    pub fn any_failed(&self) -> bool {
        self.studies.iter().any(StudySummary::any_failed)
    }
}

impl StudySummary {
    /// Whether any run failed.
    pub fn any_failed(&self) -> bool {
        self.runs.iter().any(|run| matches!(run.outcome, Outcome::Failed { .. }))
    }
}
