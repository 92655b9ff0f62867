//! The errors of this crate.

use std::path::{Path, PathBuf};

/// The result type of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a file could not be read or written; each variant names the file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be opened, read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file does not hold what it should.
    #[error("{}: not valid: {source}; another version wrote it, or it was edited", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A log ends before a checkpoint's position in it.
    #[error(
        "{}: {found} bytes found, at least the {expected} of the checkpoint expected; the file is damaged: remove its folder, and train or measure again",
        path.display()
    )]
    TooShort {
        /// The file.
        path: PathBuf,
        /// The bytes that it had at the checkpoint.
        expected: u64,
        /// Those that it has.
        found: u64,
    },
    /// A line that is not the last is damaged.
    #[error("{}, line {line}: {reason}; the file is damaged: remove its folder, and train or measure again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The records of a run that has finished do not say so: their end is lost.
    #[error(
        "{}: the run has finished, but the record of its end is missing; put the whole file back, or remove its \
         folder and train again",
        path.display()
    )]
    NoEnd {
        /// The file.
        path: PathBuf,
    },
}

impl Error {
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        Error::Io { path: path.to_path_buf(), source }
    }

    pub(crate) fn json(path: &Path, source: serde_json::Error) -> Self {
        Error::Json { path: path.to_path_buf(), source }
    }
}
