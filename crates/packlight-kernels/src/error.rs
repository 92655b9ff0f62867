//! The errors of kernels.

use candle_core::DType;

use crate::device_memory::Shortage;

/// The result type of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a kernel could not compute its result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Candle's own error.
    #[error(transparent)]
    Candle(candle_core::Error),
    /// A device has too little memory.
    #[error("{kernel}: {shortage}; take a smaller batch, or a plan that keeps less")]
    OutOfMemory {
        /// What asked for it.
        kernel: &'static str,
        /// What was asked for, and what was free.
        shortage: Shortage,
    },
    /// The kernel has no version for the device that the tensor is on.
    #[error("{kernel}: not supported on {device} yet; move the tensors to the CPU")]
    NoDeviceKernel {
        /// The kernel.
        kernel: &'static str,
        /// The device.
        device: &'static str,
    },
    /// The kernel does not compute in this type.
    #[error("{kernel}: expected f32 or f64, found {found:?}; convert the tensor first")]
    DType {
        /// The kernel.
        kernel: &'static str,
        /// The tensor's type.
        found: DType,
    },
    /// Shapes or parameters do not match.
    #[error("{kernel}: {reason}")]
    Shape {
        /// The kernel.
        kernel: &'static str,
        /// What was expected and what was found.
        reason: String,
    },
    /// An input holds NaN or infinity, which would spread to every result.
    #[error("{kernel}: {what} is not finite; has training diverged?")]
    NotFinite {
        /// The kernel.
        kernel: &'static str,
        /// What is not finite.
        what: &'static str,
    },
    /// A LAPACK routine failed.
    #[error("LAPACK's {routine} failed: {reason}")]
    Lapack {
        /// The routine.
        routine: &'static str,
        /// Its error code, or why it was not called.
        reason: String,
    },
    /// A label is not a valid class.
    #[error(
        "{kernel}: label {label} of sample {sample} is not below the number of classes, {classes}"
    )]
    Label {
        /// The kernel.
        kernel: &'static str,
        /// The label.
        label: i64,
        /// The sample's index.
        sample: usize,
        /// The number of classes.
        classes: usize,
    },
}

impl From<candle_core::Error> for Error {
    /// The only place that turns a driver's lack of memory into an error of ours.
    fn from(error: candle_core::Error) -> Self {
        match Shortage::in_error(&error) {
            Some(shortage) => Error::OutOfMemory { kernel: SOMETHING, shortage },
            None => Error::Candle(error),
        }
    }
}

/// What asks for memory in an operation of candle's.
const SOMETHING: &str = "an operation of candle's";

impl Error {
    /// Says who asked for how many bytes, if there was no memory for them and nobody has said so yet.
    pub(crate) fn asking(self, kernel: &'static str, bytes: usize) -> Self {
        match self {
            Error::OutOfMemory { shortage: Shortage { asked: None, free }, .. } => {
                Error::OutOfMemory { kernel, shortage: Shortage { asked: Some(bytes), free } }
            }
            other => other,
        }
    }

    pub(crate) fn shape(kernel: &'static str, reason: impl Into<String>) -> Self {
        Error::Shape { kernel, reason: reason.into() }
    }
}
