//! What can go wrong with a study.

use std::error::Error as _;
use std::iter::successors;
use std::path::{Path, PathBuf};

/// This crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with a study; each variant says where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be opened, read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A study's or collection's description cannot be read.
    #[error(transparent)]
    Spec(#[from] packlight_spec::Error),
    /// The study's description does not fit the codecs or the data.
    #[error("{}: {reason}", path.display())]
    Study {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },
    /// The device that the study asks for cannot be used.
    #[error("device = \"cuda\": {reason}; or use the processor, with `--device cpu` or `auto`")]
    NoDevice {
        /// Why.
        reason: String,
    },
    /// The study's device does not compute in its precision.
    #[error(
        "precision = \"bf16\": the processor computes in f32; give `device = \"cuda\"` on a machine with a card, or \
         leave it out"
    )]
    Precision,
    /// A plan does not fit the study's model.
    #[error("plan {plan} of the study: {source}")]
    Plan {
        /// The plan's name in the study.
        plan: String,
        /// What is wrong with it.
        source: Box<packlight_nn::Error>,
    },
    /// An adaptive plan cannot be trained.
    #[error("plan {plan} of the study: {reason}")]
    Adaptive {
        /// The plan's name in the study.
        plan: String,
        /// What is wrong, and what would do.
        reason: String,
    },
    /// A plan's first step cannot be computed.
    #[error("plan {plan} of the study, on a batch of {samples}: {source}{remedy}")]
    Step {
        /// The plan's name in the study.
        plan: String,
        /// Samples in the batch.
        samples: usize,
        /// What is wrong, and where.
        source: Box<Error>,
        /// What to do about it, if that is known.
        remedy: String,
    },
    /// A study of a collection cannot be run.
    #[error("study {study} of the collection: {source}")]
    Member {
        /// Its folder's name.
        study: String,
        /// What is wrong with it.
        source: Box<Error>,
    },
    /// Another process writes the same study.
    #[error(
        "{}: another packlight is running this study; wait for it to end, or stop it",
        folder.display()
    )]
    Locked {
        /// The study's folder.
        folder: PathBuf,
    },
    /// Another process has claimed the study with a file, and may still be running.
    #[error(
        "{}: another packlight is running this study, {by}; wait for it to end, or stop it; if it \
         has ended, remove {}",
        folder.display(),
        file.display()
    )]
    Claimed {
        /// The study's folder.
        folder: PathBuf,
        /// The file with the claim.
        file: PathBuf,
        /// The process.
        by: String,
    },
    /// A run was started under conditions other than the present ones.
    #[error(
        "{}: {what} changed since this run was begun ({how}); undo the change, choose another \
         folder, or start all runs of the study anew with --overwrite",
        folder.display()
    )]
    Changed {
        /// The run's folder.
        folder: PathBuf,
        /// What changed: "the study", "the data" or "the version of Packlight".
        what: &'static str,
        /// What it was when the run was started, and what it is now, by key if it is the study.
        how: String,
    },
    /// Single layers were measured under conditions other than the present ones.
    #[error(
        "{}: {what} changed since this was measured ({how}); undo the change, or measure everything \
         anew with `packlight sensitivity {} --overwrite`",
        folder.display(),
        folder.parent().unwrap_or(folder).display()
    )]
    MeasuredOtherwise {
        /// The folder of the measurements.
        folder: PathBuf,
        /// What changed: "the study", "the data" or "the version of Packlight".
        what: &'static str,
        /// What it was when the measurement began, and what it is now.
        how: String,
    },
    /// The weights that a run starts from do not exist.
    #[error("it starts from the weights of {run}, which {reason}")]
    Source {
        /// The run that should have saved them.
        run: String,
        /// What is wrong with it and what to do.
        reason: String,
    },
    /// What a file of weights says of itself cannot be read.
    #[error(
        "{}: what the weights are cannot be read: {reason}; they may be of another version of \
         Packlight",
        path.display()
    )]
    Origin {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A checkpoint cannot be used.
    #[error(
        "{}: the checkpoint cannot be used: {reason}; remove it, and the run starts anew",
        path.display()
    )]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A step met a gradient that is not finite.
    #[error("{reason}")]
    Diverged {
        /// What is not finite, and at which step.
        reason: String,
    },
    /// A model's outputs overflowed in an evaluation.
    #[error(
        "the {what} of test samples {first} to {} are not finite: with these weights something \
         overflows on the way",
        first + count - 1
    )]
    NotFinite {
        /// What is not finite: "logits" or "loss", whichever comes first.
        what: &'static str,
        /// The index of the batch's first sample, from 0.
        first: usize,
        /// The number of samples in the batch.
        count: usize,
    },
    /// The user stopped the study.
    #[error("interrupted; every finished step is kept, and the same command goes on from here")]
    Interrupted,
    /// An error of a data set.
    #[error(transparent)]
    Data(#[from] crate::data::Error),
    /// An error of a record.
    #[error(transparent)]
    Record(#[from] packlight_record::Error),
    /// An error of a model.
    #[error(transparent)]
    Model(Box<packlight_nn::Error>),
    /// An error of an operation.
    #[error(transparent)]
    Autograd(Box<packlight_autograd::Error>),
    /// An error of a probe.
    #[error(transparent)]
    Probe(Box<packlight_probe::Error>),
    /// What was measured of single layers allows no allocation.
    #[error(transparent)]
    Allocation(packlight_allocation::Error),
    /// Candle's own error.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl From<packlight_nn::Error> for Error {
    fn from(source: packlight_nn::Error) -> Self {
        Error::Model(Box::new(source))
    }
}

impl From<packlight_autograd::Error> for Error {
    fn from(source: packlight_autograd::Error) -> Self {
        Error::Autograd(Box::new(source))
    }
}

impl From<packlight_probe::Error> for Error {
    fn from(source: packlight_probe::Error) -> Self {
        Error::Probe(Box::new(source))
    }
}

impl Error {
    /// The reason why training cannot continue, if `step` ended with this error because something
    /// was not finite: the loss, a gradient, or a value in a layer or its codec.
    pub(crate) fn divergence(&self, step: u64) -> Option<String> {
        use packlight_kernels::Error as Kernel;

        if let Error::Diverged { reason } = self {
            return Some(reason.clone());
        }
        if let Error::Model(error) = self
            && let packlight_nn::Error::Diverged { found, step } = &**error
        {
            return Some(format!("{found} at step {step}"));
        }
        if let Error::Probe(error) = self
            && let packlight_probe::Error::NotFinite { .. } = &**error
        {
            return Some(format!("{error} (step {step})"));
        }
        let not_finite = successors(self.source(), |&cause| cause.source()).any(|cause| {
            let kernel = match cause.downcast_ref() {
                Some(packlight_codec::Error::Kernel(kernel)) => Some(kernel),
                _ => cause.downcast_ref(),
            };
            matches!(kernel, Some(Kernel::NotFinite { .. }))
        });
        not_finite.then(|| format!("{self} (step {step})"))
    }

    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        Error::Io { path: path.to_path_buf(), source }
    }

    pub(crate) fn checkpoint(path: &Path, reason: impl Into<String>) -> Self {
        Error::Checkpoint { path: path.to_path_buf(), reason: reason.into() }
    }
}
