//! What can go wrong with data.

use std::fmt;
use std::path::{Path, PathBuf};

use packlight_spec::Fault;

/// This module's result.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong with data: each variant says where, what was expected, what was found and what
/// to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No set has this name.
    #[error(
        "no data set is called \"{name}\"{}; there are digits and reverse (built in), mnist, \
         fashion-mnist, cifar-10, cifar-100, multi30k, tinyshakespeare, folder:PATH, text:PATH and \
         labelled:PATH",
        nearest.map(|n| format!(", did you mean \"{n}\"?")).unwrap_or_default()
    )]
    UnknownSet {
        /// The name asked for.
        name: String,
        /// The most similar name that exists.
        nearest: Option<&'static str>,
    },
    /// The set is read from a data folder, and none was given.
    #[error(
        "{set} is not built in: set PACKLIGHT_DATA or --data-dir to a folder that holds {looked_for}"
    )]
    NoDataDir {
        /// The set asked for.
        set: String,
        /// What the data folder should hold.
        looked_for: String,
    },
    /// The data folder does not hold the set.
    #[error(
        "{set} is not in {}: {looked_for} expected, {found} found; put it there, or set \
         PACKLIGHT_DATA or --data-dir to the folder that holds it",
        dir.display()
    )]
    NoSuchSet {
        /// The set asked for.
        set: String,
        /// The folder searched.
        dir: PathBuf,
        /// What it should hold.
        looked_for: String,
        /// What it holds.
        found: String,
    },
    /// A file or folder could not be read.
    #[error("{}: cannot be read: {source}; check that it exists and may be read", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A file or folder is not what its name promises.
    #[error("{}: {expected} expected, {found} found; {remedy}", path.display())]
    Corrupt {
        /// The file or folder.
        path: PathBuf,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// A folder of images is not there or lacks a part.
    #[error(
        "{}: a folder of images by class expected, train/CLASS/*.png and test/CLASS/*.png (or val/ \
         for test/; also .jpg), found: {found}; the path of a `folder:PATH` is relative to the \
         study's folder",
        path.display()
    )]
    NoImages {
        /// The folder.
        path: PathBuf,
        /// What it holds.
        found: String,
    },
    /// An image could not be decoded.
    #[error("{}: a whole PNG or JPEG image expected, but {source}; replace or remove it", path.display())]
    Image {
        /// The image file.
        path: PathBuf,
        /// The decoder's error.
        source: image::ImageError,
    },
    /// A setting is out of its range or does not fit the set.
    #[error("data.{0}")]
    Setting(#[from] Fault),
    /// The model takes only square images, and these are not square.
    #[error(
        "{model} takes square images, and those of {set} are {height} x {width}; give the data a \
         `size`, or take a resnet"
    )]
    NotSquare {
        /// The set asked for.
        set: String,
        /// The model's name.
        model: &'static str,
        /// The height in pixels.
        height: usize,
        /// The width in pixels.
        width: usize,
    },
    /// A batch asks for samples that do not exist.
    #[error("a batch of one or more samples below {len} expected, {found} found")]
    NoSuchSample {
        /// The number of samples in the split.
        len: usize,
        /// What was asked for.
        found: String,
    },
    /// A tensor could not be made.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl Error {
    pub(super) fn io(path: &Path, source: std::io::Error) -> Self {
        Error::Io { path: path.to_path_buf(), source }
    }

    /// The error for a damaged download or copy.
    pub(super) fn damaged(
        path: &Path,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self::corrupt(path, expected, found, "fetch the file again")
    }

    pub(super) fn corrupt(
        path: &Path,
        expected: impl Into<String>,
        found: impl Into<String>,
        remedy: &'static str,
    ) -> Self {
        let path = path.to_path_buf();
        Error::Corrupt { path, expected: expected.into(), found: found.into(), remedy }
    }

    pub(super) fn setting(
        key: &str,
        expected: impl fmt::Display,
        found: impl fmt::Display,
    ) -> Self {
        Error::Setting(Fault::new(key, format!("{found} given, expected {expected}")))
    }
}
