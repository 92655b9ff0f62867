//! What became of studies and their runs.

use serde::Serialize;

/// What became of a collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CollectionSummary {
    /// What the collection is about.
    pub title: String,
    /// Its studies, in its order.
    pub studies: Vec<StudySummary>,
}

/// What became of a study.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StudySummary {
    /// The study's name.
    pub study: String,
    /// Its runs, in the order in which they were done.
    pub runs: Vec<RunSummary>,
}

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunSummary {
    /// Its name, which is its folder's within [`RUNS`](packlight_record::layout::RUNS).
    pub run: String,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It came to its planned end.
    Finished,
    /// It had been finished before and was left as it is.
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
