//! What can go wrong in a kernel.

use candle_core::DType;

/// This crate's result.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong in a kernel.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Candle's own error.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// The kernel has no version for the device that the tensor is on.
    #[error("{kernel}: there is no kernel for {device} yet; move the tensors to the CPU")]
    NoDeviceKernel {
        /// The kernel.
        kernel: &'static str,
        /// The device.
        device: &'static str,
    },
    /// The kernel does not compute in this type.
    #[error("{kernel}: computes in f32 and f64, the tensor is {found:?}; convert it first")]
    DType {
        /// The kernel.
        kernel: &'static str,
        /// The tensor's type.
        found: DType,
    },
    /// Shapes or parameters that do not fit together.
    #[error("{kernel}: {reason}")]
    Shape {
        /// The kernel.
        kernel: &'static str,
        /// What was expected and what was found.
        reason: String,
    },
    /// NaN or infinity, which would reach every result.
    #[error("{kernel}: {what} is not finite; has training diverged?")]
    NotFinite {
        /// The kernel.
        kernel: &'static str,
        /// What is not finite.
        what: &'static str,
    },
    /// LAPACK did not find a result.
    #[error("LAPACK's {routine} failed: {reason}")]
    Lapack {
        /// The routine.
        routine: &'static str,
        /// What it answered.
        reason: String,
    },
    /// A label that is no class.
    #[error(
        "{kernel}: label {label} of sample {sample} is not below the number of classes, {classes}"
    )]
    Label {
        /// The kernel.
        kernel: &'static str,
        /// The label.
        label: i64,
        /// Which sample has it.
        sample: usize,
        /// How many classes there are.
        classes: usize,
    },
}

impl Error {
    pub(crate) fn shape(kernel: &'static str, reason: impl Into<String>) -> Self {
        Error::Shape { kernel, reason: reason.into() }
    }
}
