//! Records into tables, figures and one self-contained page.
//!
//! [`write()`] reads the runs of a study from disk (`runs/<run>/manifest.json`, `records.jsonl`,
//! `measurements.jsonl`), and from `study.toml` its title, plans and seeds, and writes beside them
//! `index.html`, `figures/` (each figure as SVG with its data as CSV) and `tables/` (the records as
//! CSV). The page needs neither network nor scripts. Runs that failed, are unfinished, damaged or
//! not started are named at its top, and so are folders that hold no run of the study. A
//! [`Collection`] has a page for each of its studies and one on which they stand head to head.
//!
//! This crate knows nothing of candle: a report can be made where no network is trained.

mod bias_and_variance;
mod codec_name;
mod collection;
mod collection_table;
mod document;
mod error;
mod figures;
mod file;
mod finding;
mod format;
mod frame;
mod grid;
mod head_to_head;
mod html_tables;
mod page;
mod plan;
mod published;
mod report;
mod stale;
mod study;
mod t_interval;
mod tables;

use std::path::{Path, PathBuf};

use serde::Serialize;

pub use collection::{Collection, CollectionSummary};
pub use error::{Error, Result};
pub use finding::{Finding, Verdict};

/// What a report consists of and what it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The page.
    #[serde(serialize_with = "format::path")]
    pub page: PathBuf,
    /// The figures' drawings; the data of each is beside it as CSV.
    #[serde(serialize_with = "format::paths")]
    pub figures: Vec<PathBuf>,
    /// The records as tables.
    #[serde(serialize_with = "format::paths")]
    pub tables: Vec<PathBuf>,
    /// Runs that came to their planned end.
    pub finished: usize,
    /// Runs in progress, interrupted or killed.
    pub unfinished: usize,
    /// Runs that ended with an error, or whose records are damaged.
    pub failed: usize,
    /// Runs that the study asks for and that have not been started.
    pub missing: usize,
    /// Folders that hold no run of the study, such as copies of others.
    pub left_out: Vec<LeftOut>,
    /// What the study shows.
    pub findings: Vec<Finding>,
}

/// A folder among those of the runs that does not count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Its name.
    pub folder: String,
    /// Why it holds no run of the study.
    pub reason: String,
}

/// Writes the report of the study in `study_dir`, over an earlier one, of whose figures and tables
/// those are removed that the new one does not have.
///
/// # Errors
/// If the study has no runs, a folder cannot be read or a file cannot be written. Failed and
/// damaged runs are no error: the report names them.
pub fn write(study_dir: &Path) -> Result<Summary> {
    report::Report::read(study_dir)?.write(study_dir)
}
