//! What can go wrong while probing.

/// This crate's result.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong while probing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Two tensors that should hold the same quantity differ in shape.
    #[error("{what}: the exact one has shape {expected:?}, the compressed one {found:?}")]
    Shape {
        /// What was to be compared.
        what: String,
        /// The exact tensor's shape.
        expected: Vec<usize>,
        /// The compressed tensor's shape.
        found: Vec<usize>,
    },
    /// A backward pass gave no gradient for a parameter.
    #[error(
        "parameter `{parameter}` got no gradient in the {which} pass: the loss does not depend on it"
    )]
    NoGradient {
        /// The parameter.
        parameter: String,
        /// Which of the two passes: "compressed" or "exact".
        which: &'static str,
    },
    /// A tensor could not be read or computed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// A pass through the model failed.
    #[error(transparent)]
    Model(#[from] packlight_nn::Error),
    /// No codec is called `none`.
    #[error(transparent)]
    Codec(#[from] packlight_codec::Error),
}
