//! The records that a run leaves on disk: their schema, writing and reading.
//!
//! A run appends [`Record`]s to `records.jsonl`: facts that the study, the data and the seed
//! determine, so that a run that was killed and resumed ends with the same bytes as one that was
//! not. What the machine determines (times, allocated bytes) goes to `measurements.jsonl` as
//! [`Measurement`]s. Each line carries a checksum; see [`log`].
//!
//! This crate knows nothing of candle, so that reports are made without it.

pub mod atomic_file;
pub mod log;
pub mod manifest;
pub mod measurement;
pub mod record;

mod error;

pub use error::{Error, Result};
pub use log::{Appender, read_log};
pub use manifest::{Manifest, RunState};
pub use measurement::Measurement;
pub use packlight_spec::{LayerKind, layout};
pub use record::{Draws, Fidelity, KeptKind, Record, Spread, TimelinePoint};
