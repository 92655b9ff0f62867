//! The errors of kernels.

use candle_core::DType;

/// The result type of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a kernel could not compute its result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Candle's own error.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
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

impl Error {
    pub(crate) fn shape(kernel: &'static str, reason: impl Into<String>) -> Self {
        Error::Shape { kernel, reason: reason.into() }
    }
}
