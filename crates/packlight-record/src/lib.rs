//! The records that a run leaves on disk: their schema, writing and reading.
//!
//! A run appends [`Record`]s to `records.jsonl`. Study, data and seed determine them, so a run that
//! was killed and resumed ends with the same bytes as one that was not. What depends on the machine
//! (times, allocated bytes) goes to `measurements.jsonl` as [`Measurement`]s. Each line has a
//! checksum; see [`log`]. What takes how long beside the exact plan is measured for a whole study,
//! in its [`Timings`].
//!
//! This crate does not depend on candle, so that reports do not either.

pub mod atomic_file;
pub mod choice_times;
pub mod log;
pub mod manifest;
pub mod measurement;
pub mod plan_record;
pub mod record;
pub mod sensitivity;
pub mod timings;

mod error;
mod scan;

pub use choice_times::{BlockTime, ChoiceTimes, CodecTime};
pub use error::{Error, Result};
pub use log::{Appender, Logged, fold_log, last_of_log, read_log, write_log};
pub use manifest::{Manifest, RunState};
pub use measurement::Measurement;
pub use packlight_spec::{LayerKind, layout};
pub use plan_record::{PlanError, PlanFacts, PlanOrigin, PlanRecord};
pub use record::{AllocatedLayer, Distribution, Draws, Fidelity, KeptKind, Record, TimelinePoint};
pub use sensitivity::{
    BlockFacts, Compared, HOPELESS, LayerFacts, LossChange, OneOff, Score, SensitivityRecord,
    VARIANCE_LEFT, WholeError,
};
pub use timings::{PlanTiming, Round, Timings};
