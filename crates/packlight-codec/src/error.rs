//! What can go wrong with a codec.

/// This crate's result.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong with a codec.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No codec has this name.
    #[error("unknown codec `{spec}`{hint}\nThere are:\n{known}")]
    Unknown {
        /// What was asked for.
        spec: String,
        /// The nearest codec, if one is near.
        hint: String,
        /// All codecs, a line each.
        known: String,
    },
    /// The codec exists, but what is written after its name is wrong.
    #[error("codec `{spec}`: {reason}")]
    Parameter {
        /// What was asked for.
        spec: String,
        /// What was expected and what was found.
        reason: String,
    },
    /// The codec cannot pack tensors of this shape.
    #[error("codec `{codec}` cannot pack a tensor of shape {shape:?}: {reason}")]
    Shape {
        /// The codec.
        codec: String,
        /// The tensor's shape.
        shape: Vec<usize>,
        /// What was expected.
        reason: String,
    },
    /// The codec is for other layers than this one.
    #[error("codec `{codec}` does not suit this layer: {reason}")]
    Layer {
        /// The codec.
        codec: String,
        /// What it is for.
        reason: String,
    },
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
