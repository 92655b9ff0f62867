//! Turns a study's records into tables, figures and one self-contained page.
//!
//! [`write()`] reads a study's title, plans and seeds from `study.toml` and its runs from
//! `runs/<run>/` (`manifest.json`, `records.jsonl`, `measurements.jsonl`). Beside them it writes
//! `index.html`, `figures/` (each figure as SVG, with its data as CSV) and `tables/` (the records as
//! CSV), and `sensitivity.html` from the scores of single layers, where there are some. The pages need
//! neither network nor scripts. At the top of the first it lists the runs that failed, are
//! unfinished, damaged or not started, and folders that hold no run of the study. For a
//! collection of studies, [`write_collection`] writes a page for each study and one that compares them;
//! [`write_beside`] lays two studies side by side. [`write_planned`] and [`write_counted`] make pages without a
//! study: of steps that were planned, and of what was counted for published tables.
//!
//! This crate does not depend on candle: reports need no training code.

mod answers;
mod beside;
mod bias_and_variance;
mod codec_name;
mod collection;
mod collection_table;
mod comparison;
mod counted;
mod document;
mod error;
mod family;
mod figures;
mod file;
mod finding;
mod format;
mod frame;
mod grid;
mod head_to_head;
mod html_tables;
#[cfg(test)]
mod made;
mod moves;
mod notices;
mod page;
mod plan;
mod planned;
mod probed;
mod published;
mod report;
mod rivals;
mod rows;
mod sensitivity;
mod stale;
mod statistics;
mod step_time;
mod study;
mod tables;
mod training;

use std::path::{Path, PathBuf};

use serde::Serialize;

pub use answers::Answer;
pub use beside::{
    BesideSummary, Compared, LayerChange, PlanChange, SettingChange, Time,
    Verdict as ChangeVerdict, write_beside,
};
pub use collection::{CollectionSummary, write_collection};
pub use counted::{
    Counted, CountedCell, CountedSummary, CountedTable, CountedTables, ProjectedMethod, Projection,
    write_counted,
};
pub use error::{Error, Result};
pub use family::of_plan as family_of_plan;
pub use finding::{Finding, Verdict};
pub use planned::{PlannedLayer, PlannedMoment, PlannedPlan, PlannedSteps, write_planned};
pub use sensitivity::{AccuracyDifference, Contest, Rival, SensitivitySummary};
pub use tables::Tables;

/// The files of a report, the state of the study's runs and the findings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The page.
    #[serde(serialize_with = "format::path")]
    pub page: PathBuf,
    /// The figures as SVG; the data of each is beside it as CSV.
    #[serde(serialize_with = "format::paths")]
    pub figures: Vec<PathBuf>,
    /// The records as CSV tables.
    #[serde(serialize_with = "format::paths")]
    pub tables: Vec<PathBuf>,
    /// Runs that reached their planned end.
    pub finished: usize,
    /// Runs in progress, interrupted or killed.
    pub unfinished: usize,
    /// Runs that ended with an error, or whose records are damaged.
    pub failed: usize,
    /// Runs that the study asks for and nobody has started.
    pub missing: usize,
    /// Folders that hold no run of the study, such as copies.
    pub left_out: Vec<LeftOut>,
    /// The factors other than 1 by which `--scale` multiplied epochs; with one, nothing is judged.
    pub scales: Vec<String>,
    /// Whether the methods that the study is about, those of its first inexact plan, work, and which rivals do
    /// better with no more bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// What the study shows, in answers to the same few questions for every study.
    pub answers: Vec<Answer>,
    /// What the study shows about the claims on pooling; empty without pooling or convolutions.
    pub findings: Vec<Finding>,
    /// The page on single layers, if they were measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sensitivity: Option<SensitivitySummary>,
}

/// A folder in `runs/` that is left out of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Its name.
    pub folder: String,
    /// Why it holds no run of the study.
    pub reason: String,
}

/// Writes the report of the study in `study_dir`. It replaces an earlier one, and removes those of
/// its figures and tables that the new one does not have. Where single layers were measured, they have
/// a page of their own, `sensitivity.html`, the only one of a study without runs.
///
/// # Errors
/// Returns an error if the study has neither runs nor scores of single layers, the log of scores is
/// damaged, a folder cannot be read or a file cannot be written. Failed and damaged runs are not
/// errors: the report lists them.
pub fn write(study_dir: &Path) -> Result<Summary> {
    match report::Report::read(study_dir) {
        Err(error @ Error::NoRuns { .. }) => report::write_sensitivity(study_dir, error),
        report => report?.write(study_dir),
    }
}
