//! The errors of this crate.

use std::iter::successors;

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
    /// The exact gradient, which others are compared with, is not finite.
    #[error("the exact gradient is not finite: its norm is {norm}")]
    NotFinite {
        /// Its norm.
        norm: f64,
    },
    /// A layer whose own weight gradient was to be compared passed through several times, or not at
    /// all.
    #[error("layer `{layer}`: a pass was to use it once, and used it {times} times")]
    Uses {
        /// The layer.
        layer: String,
        /// How often the pass used it.
        times: usize,
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

impl Error {
    /// Why a codec cannot pack a layer's input, if this is what went wrong: the input's shape, or what
    /// the layer computes.
    pub(crate) fn refusal(&self) -> Option<String> {
        refusal(self)
    }
}

/// Looks for a codec's refusal among an error and its causes.
pub(crate) fn refusal(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    use packlight_codec::Error as Codec;

    successors(Some(error), |cause| cause.source()).find_map(|cause| {
        let refused = |e: &&Codec| matches!(e, Codec::Shape { .. } | Codec::Layer { .. });
        cause.downcast_ref().filter(refused).map(Codec::to_string)
    })
}
