//! The errors of this crate.

/// The result type of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a probe failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Two tensors to be compared have different shapes.
    #[error("{what}: expected the shape {expected:?} of the exact one, found {found:?}")]
    Shape {
        /// What is compared.
        what: String,
        /// The exact tensor's shape.
        expected: Vec<usize>,
        /// The compressed tensor's shape.
        found: Vec<usize>,
    },
    /// A backward pass gave a parameter no gradient.
    #[error(
        "parameter `{parameter}` got no gradient in the {which} pass: the loss does not depend on it"
    )]
    NoGradient {
        /// The parameter.
        parameter: String,
        /// Which pass, such as "compressed" or "exact".
        which: &'static str,
    },
    /// A tensor could not be read or computed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// A pass through the model failed.
    #[error(transparent)]
    Model(#[from] packlight_nn::Error),
    /// The codec `none` could not be made.
    #[error(transparent)]
    Codec(#[from] packlight_codec::Error),
}
