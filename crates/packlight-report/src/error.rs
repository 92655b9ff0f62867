//! What can go wrong while a report is made.

use std::path::{Path, PathBuf};

/// This crate's result.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong while a report is made. A run that failed or whose records are damaged is no
/// such thing: it gives a report that says so.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The study has no runs.
    #[error("{}: no run has been started yet; run `packlight run {}` first", runs.display(), study.display())]
    NoRuns {
        /// The study's folder.
        study: PathBuf,
        /// Where its runs would be.
        runs: PathBuf,
    },
    /// A collection's description is not valid.
    #[error(transparent)]
    Spec(#[from] packlight_spec::Error),
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] packlight_record::Error),
    /// A table could not be made from the records.
    #[error(
        "the records make no table: {0}; they were written by another version, run the study again"
    )]
    Table(#[from] polars::error::PolarsError),
    /// A table could not be written as CSV.
    #[error("a table could not be written as CSV: {0}")]
    Csv(#[from] csv::Error),
    /// A figure could not be drawn.
    #[error(transparent)]
    Figure(#[from] packlight_figure::Error),
}

impl Error {
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        Error::Io { path: path.to_path_buf(), source }
    }
}
