//! What depends on the machine: times and counted bytes.

use crate::log::Logged;
use crate::record::KeptKind;
use serde::{Deserialize, Serialize};

impl Logged for Measurement {}

/// One line of a run's `measurements.jsonl`; varies between machines and between runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Measurement {
    /// Time of an epoch's training steps, without probed steps, and of its evaluation. An epoch
    /// whose steps are all probed has no step time. What an adaptive plan takes for its measurements is
    /// part of the training.
    Time {
        /// The epoch.
        epoch: u64,
        /// Training steps timed.
        steps: u64,
        /// Their wall time in seconds, that of measurements of single layers between them included.
        train_seconds: f64,
        /// Wall time of the evaluation in seconds.
        test_seconds: f64,
    },
    /// Time for measuring the layers' sensitivities before a step, for codecs that need them; not
    /// included in other times.
    Calibration {
        /// The step.
        step: u64,
        /// Wall time in seconds.
        seconds: f64,
    },
    /// Time that an adaptive plan took to measure single layers before a step and to allocate; included in
    /// the time of the epoch.
    Allocation {
        /// The step.
        step: u64,
        /// Forward and backward passes.
        passes: u64,
        /// Wall time in seconds.
        seconds: f64,
    },
    /// Bytes that the counting allocator, or a CUDA device's pool, got back when a layer's kept tensor was freed.
    Counted {
        /// The step.
        step: u64,
        /// The layer.
        layer: String,
        /// The purpose of the tensor.
        kind: KeptKind,
        /// Bytes.
        bytes: u64,
    },
    /// Live bytes by the counting allocator, or by a CUDA device's pool, at each point of the step's timeline,
    /// beyond those live before the pass.
    Allocated {
        /// The step.
        step: u64,
        /// One value for each [`crate::record::TimelinePoint`].
        points: Vec<i64>,
        /// The highest value during the pass.
        peak: i64,
    },
    /// The largest resident set of the process during a training step that is not probed, after
    /// the allocator has returned what it held in reserve. It includes the data set, the program and
    /// the parameters.
    Resident {
        /// The step.
        step: u64,
        /// Bytes.
        peak: u64,
    },
}
