//! What whole plans do to the gradients.

use packlight_spec::Point;
use serde::{Deserialize, Serialize};

use crate::{Logged, WholeError};

/// One line of `errors.jsonl` in the folder of a study that verifies a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum PlanRecord {
    /// A plan that is compared. All of them come first, the one that is verified before its rivals.
    Plan(PlanFacts),
    /// A measurement.
    Error(PlanError),
}

impl Logged for PlanRecord {}

/// A plan that follows from the scores of single layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanFacts {
    /// Its name in the study.
    pub plan: String,
    /// The plan as it is written.
    pub spec: String,
    /// How it was made.
    pub origin: PlanOrigin,
    /// The most bytes that it was to have.
    pub budget: u64,
    /// Those that it has, counted as the budget is.
    pub bytes: u64,
}

/// How a plan was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanOrigin {
    /// It is the one with the least predicted error.
    Allocated,
    /// One codec packs all layers that were measured with it.
    Uniform,
    /// It was drawn from the plans that fit the budget.
    Random,
}

/// What a plan does to the gradients of one batch, measured by passes with all of its codecs together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanError {
    /// SHA-256 of what it was measured on, as in [`Score::state`](crate::Score::state).
    pub state: String,
    /// The point of an exact training.
    pub point: Point,
    /// The seed of that training.
    pub seed: u64,
    /// Which of the batches.
    pub batch: u64,
    /// How many passes there were, each with other random numbers of the codecs.
    pub draws: u64,
    /// The plan as it is written.
    pub spec: String,
    /// `E|h - g|^2` over the gradients of all parameters: the mean over the draws.
    pub squared_error: f64,
    /// `|E h - g|^2`, as in [`Score::squared_bias`](crate::Score::squared_bias).
    pub squared_bias: Option<f64>,
    /// `|g|`, the exact gradient's norm over all parameters.
    pub whole_norm: f64,
}

impl PlanError {
    /// The error of the whole gradient.
    pub fn whole_error(&self) -> WholeError {
        let &Self { squared_error, squared_bias, whole_norm, .. } = self;
        WholeError { squared_error, squared_bias, whole_norm }
    }
}
