//! What the machine determines: times and counted bytes.

use crate::record::KeptKind;
use serde::{Deserialize, Serialize};

/// One line of a run's `measurements.jsonl`; differs from machine to machine and run to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Measurement {
    /// Time of an epoch's training steps (those with a probe left out) and of its evaluation. An epoch
    /// whose steps all have a probe has no time of a step.
    Time {
        /// The epoch.
        epoch: u64,
        /// Training steps timed.
        steps: u64,
        /// Their wall time in seconds.
        train_seconds: f64,
        /// Wall time of the evaluation in seconds.
        test_seconds: f64,
    },
    /// Time that measuring how sensitive the layers are took before a step, for codecs that ask for
    /// it; in no other time.
    Calibration {
        /// The step.
        step: u64,
        /// Wall time in seconds.
        seconds: f64,
    },
    /// Bytes that the counting allocator got back when a layer's kept tensor was freed.
    Counted {
        /// The step.
        step: u64,
        /// The layer.
        layer: String,
        /// What it was kept for.
        kind: KeptKind,
        /// Bytes.
        bytes: u64,
    },
    /// Live bytes of the counting allocator at each point of the ledger's timeline of that step,
    /// less those that were live before the pass began.
    Allocated {
        /// The step.
        step: u64,
        /// One figure for each [`crate::record::TimelinePoint`].
        points: Vec<i64>,
        /// The highest between the beginning and the end of the pass.
        peak: i64,
    },
    /// The process's resident peak so far, in bytes; a study's runs share a process, so this is an
    /// upper bound for the run.
    Resident {
        /// The epoch after which it was read.
        epoch: u64,
        /// Bytes.
        peak: u64,
    },
}
