//! The errors of this crate.

use std::path::{Path, PathBuf};

/// The result type of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a report could not be written. A failed or damaged run is not an error: the report says so.
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
    /// The study has no runs, and its log of single layers holds no score.
    #[error(
        "{}: no score has been measured yet, and no run has been started; run `packlight sensitivity {}` first",
        study.display(), study.display()
    )]
    NoScores {
        /// The study's folder.
        study: PathBuf,
    },
    /// A study was to be laid beside itself.
    #[error("{}: both are this study; name another one to lay beside it", study.display())]
    SameStudy {
        /// The study's folder.
        study: PathBuf,
    },
    /// Two studies cannot be laid side by side.
    #[error(
        "{} and {} have no plan of the same name, and no layer that was measured with the same codec: \
         {} has {first_has}; {} has {second_has}",
        first.display(), second.display(), first.display(), second.display()
    )]
    NothingInCommon {
        /// The first study's folder.
        first: PathBuf,
        /// What it has.
        first_has: String,
        /// The second one's folder.
        second: PathBuf,
        /// What that has.
        second_has: String,
    },
    /// A study's description cannot be read.
    #[error(transparent)]
    Description(packlight_spec::Error),
    /// The log of single layers is damaged.
    #[error(
        "{source}; remove this file and run `packlight sensitivity {}` to measure again",
        study.display()
    )]
    Scores {
        /// The study's folder.
        study: PathBuf,
        /// What is wrong with the log.
        source: packlight_record::Error,
    },
    /// The scores of single layers do not fit together.
    #[error(transparent)]
    Allocation(#[from] packlight_allocation::Error),
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] packlight_record::Error),
    /// A table could not be made from the records.
    #[error(
        "the records do not fit into a table: {0}; another version wrote them, so run the study again"
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
