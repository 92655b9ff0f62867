//! What can go wrong in a differentiable operation.

/// This crate's result.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong in a differentiable operation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A layer could not pack or unpack its input.
    #[error("layer `{layer}`: {source}")]
    Codec {
        /// The layer.
        layer: String,
        /// What went wrong.
        source: packlight_codec::Error,
    },
    /// A layer's kernel failed.
    #[error("layer `{layer}`: {source}")]
    Layer {
        /// The layer.
        layer: String,
        /// What went wrong.
        source: packlight_kernels::Error,
    },
    /// The graph was used for a second backward pass.
    #[error(
        "{op}: saved activations were freed by the first backward pass; \
         run the forward pass again before another backward pass"
    )]
    SecondBackward {
        /// The operation that the second pass reached.
        op: &'static str,
    },
    /// An operation got inputs, or computed gradients, that do not fit.
    #[error("{op}: {reason}")]
    Shape {
        /// The operation.
        op: &'static str,
        /// What was expected and what was found.
        reason: String,
    },
    /// The observer of a probe could not take a gradient.
    #[error("layer `{layer}`: the probe failed: {reason}")]
    Observer {
        /// The layer.
        layer: String,
        /// The observer's reason.
        reason: String,
    },
    /// An analytic gradient differs from its numeric one.
    #[error("{0}")]
    GradientCheck(String),
    /// A kernel failed, or an operation of candle's.
    #[error(transparent)]
    Kernel(#[from] packlight_kernels::Error),
}

impl From<candle_core::Error> for Error {
    /// As a kernel's error, which also knows of memory that a device lacks.
    fn from(error: candle_core::Error) -> Self {
        Error::Kernel(error.into())
    }
}

impl From<Error> for candle_core::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Kernel(packlight_kernels::Error::Candle(error)) => error,
            other => candle_core::Error::wrap(other),
        }
    }
}
