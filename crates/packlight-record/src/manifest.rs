//! A run's manifest: what it was made from, and its state.

use serde::{Deserialize, Serialize};
use std::path::Path;

use crate::layout::MANIFEST;
use crate::{Error, Result, atomic_file};

/// The state of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum RunState {
    /// Started but not ended: in progress, interrupted or killed.
    Unfinished,
    /// Reached its planned end.
    Finished,
    /// Ended with an error.
    Failed {
        /// What went wrong.
        reason: String,
    },
}

/// `manifest.json` of a run's folder: written when it starts, updated when it ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The study's name.
    pub study: String,
    /// The study's title.
    pub title: String,
    /// The plan's name within the study.
    pub plan: String,
    /// The plan's index in the study file; reports show plans in this order.
    pub plan_index: u64,
    /// The plan itself, as on a command line.
    pub plan_spec: String,
    /// The seed.
    pub seed: u64,
    /// The planned number of epochs.
    pub epochs: u64,
    /// The factor by which the study's epochs were multiplied to get them.
    #[serde(default = "unscaled", skip_serializing_if = "is_unscaled")]
    pub scale: f64,
    /// The plan whose final weights it starts from; `None` for random ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The model in a few words.
    pub model: String,
    /// Number of trainable scalars.
    pub parameters: u64,
    /// The data set in a few words.
    pub data: String,
    /// Training samples.
    pub train_samples: u64,
    /// Test samples.
    pub test_samples: u64,
    /// The share of the test part's most frequent class, or token: the accuracy of always answering alike.
    /// `None` in older runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guessed: Option<f64>,
    /// Samples in a batch.
    pub batch: u64,
    /// The parts of the study that determine this run, by their keys; `None` in older runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<serde_json::Value>,
    /// SHA-256 of the parts of the study that determine this run.
    pub study_hash: String,
    /// SHA-256 of the data as loaded.
    pub data_hash: String,
    /// The version of Packlight.
    pub version: String,
    /// The processor's name.
    pub cpu: String,
    /// Threads used for computing.
    pub threads: u64,
    /// The state of the run.
    #[serde(flatten)]
    pub state: RunState,
}

fn unscaled() -> f64 {
    1.0
}

fn is_unscaled(scale: &f64) -> bool {
    *scale == 1.0
}

impl Manifest {
    /// Reads the manifest of the run in `folder`.
    ///
    /// # Errors
    /// Returns an error, which names the file, if it cannot be read or is not a manifest.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(MANIFEST);
        let text = std::fs::read_to_string(&path).map_err(|e| Error::io(&path, e))?;
        serde_json::from_str(&text).map_err(|e| Error::json(&path, e))
    }

    /// Writes it to the folder of its run.
    ///
    /// # Errors
    /// Returns an error, which names the file, if it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(MANIFEST);
        let json = serde_json::to_vec_pretty(self).map_err(|e| Error::json(&path, e))?;
        atomic_file::write(&path, &json)
    }
}
