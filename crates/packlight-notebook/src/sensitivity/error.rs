//! The errors of this module.

use std::path::PathBuf;

/// The result type of this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why scores cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log of scores is damaged or cannot be read.
    #[error(
        "{source}; remove this file and run `packlight sensitivity {}` to measure again",
        folder.display()
    )]
    Log {
        /// The study's folder.
        folder: PathBuf,
        /// What is wrong with the log.
        source: packlight_record::Error,
    },
    /// Nothing was measured, not at this point, or the scores do not fit together.
    #[error("{}: {source}", path.display())]
    Scores {
        /// The log of scores.
        path: PathBuf,
        /// What is wrong with its scores.
        source: packlight_allocation::Error,
    },
    /// A data frame could not be made.
    #[error(transparent)]
    Frame(#[from] polars::error::PolarsError),
    /// A figure could not be drawn.
    #[error(transparent)]
    Figure(#[from] packlight_figure::Error),
}
