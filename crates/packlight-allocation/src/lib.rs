//! Which codec each layer gets, from what was measured of each.
//!
//! [`Measured`] averages the scores of a study's single layers, which a [`Log`] holds. From them it makes [`Allocation`]s:
//! one codec for each layer, so that no more than a budget of bytes is kept for the backward pass
//! and the gradient is disturbed least. If [asked](Measured::with_recomputing), blocks are recomputed, and the
//! bytes may be those of a [whole step](Measured::of_steps). Bytes are counted as a pass keeps them: layers
//! that save the same tensor and pack it alike share one copy. Errors are relative squared errors of the whole
//! gradient that averaging over steps leaves (see [`WholeError::lasting`]), each measured with all other
//! layers exact. They are added up: for layers that change only their own weight's gradient that is the
//! error of all of them together, for others it takes their errors to be uncorrelated.
//!
//! Where trainings of a few updates were compared with exact ones, the [change of the loss](Measured::by_loss)
//! may count in place of errors.
//!
//! [`PlanErrors`] compares whole plans by errors that were measured, not predicted, in pairs on the same
//! batches.
//!
//! This crate knows nothing of candle and of files.
//!
//! [`WholeError::lasting`]: packlight_record::WholeError::lasting

mod allocation;
mod beside;
mod choices;
mod curve;
mod error;
mod estimate;
mod front;
mod frontier;
mod group;
mod knapsack;
mod lasting;
mod log;
mod loss;
mod measured;
mod neighbours;
mod one_off;
mod plan;
mod plan_errors;
mod random;
mod rules;
mod selection;
mod slowdown;
mod split_mix;
mod stage;
pub mod student;
mod timeline;
mod units;
mod worst;

#[cfg(test)]
#[path = "../tests/made/mod.rs"]
mod made;

pub use allocation::{Allocation, Objective};
pub use choices::{Choice, LayerChoices, LeftOut};
pub use error::{Error, Result};
pub use estimate::{Estimate, Interval};
pub use frontier::knee;
pub use log::{Brief, Log};
pub use measured::Measured;
pub use neighbours::{Neighbour, Neighbours};
pub use plan_errors::{PlanErrors, Squared};
pub use selection::Selection;
