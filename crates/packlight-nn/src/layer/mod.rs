//! Layers: each is an operation with its parameters, under the name that plans and records use.
//!
//! Each is made by `new` with PyTorch's defaults, and most also by `with` from their settings. The
//! given [`Builder`](crate::Builder) determines the layer's name.

mod activation;
mod attention;
mod batch_norm;
mod conv2d;
mod cross_entropy;
mod dropout;
mod embedding;
mod feed_forward;
mod layer_norm;
mod learned;
mod linear;
mod max_pool2d;
mod patch_embedding;
mod sequential;
mod squeeze_excitation;

pub use activation::{Gelu, GeluTanh, Nonlinearity, Relu, Relu6, Silu, Tanh};
pub use attention::Attention;
pub(crate) use attention::queries_keys_values;
pub use batch_norm::BatchNorm2d;
pub use conv2d::{Conv2d, Conv2dConfig};
pub use cross_entropy::CrossEntropy;
pub use dropout::{Dropout, StochasticDepth};
pub use embedding::Embedding;
pub use feed_forward::{FeedForward, FeedForwardConfig};
pub use layer_norm::LayerNorm;
pub use learned::Learned;
pub use linear::{Linear, LinearConfig};
pub use max_pool2d::MaxPool2d;
pub use patch_embedding::PatchEmbedding;
pub use sequential::{Flatten, GlobalAvgPool2d, Sequential};
pub use squeeze_excitation::SqueezeExcitation;

use candle_core::Tensor;
use packlight_autograd::{Activation, Pass};

use crate::{Error, Result};

/// A module that maps an activation to an activation.
pub trait Module: Send + Sync {
    /// Computes the output for `x`, linked to it if the pass is for training.
    ///
    /// # Errors
    /// Returns an error if the shape of `x` does not fit.
    fn forward(&self, x: &Activation) -> Result<Activation>;

    /// Computes the output for an `x` that the caller has no more use for, so that layers may write over it.
    ///
    /// # Errors
    /// Returns an error if the shape of `x` does not fit.
    fn forward_owned(&self, x: Activation) -> Result<Activation> {
        self.forward(&x)
    }

    /// Computes the output for an ordinary tensor, which enters `pass` by
    /// [`Activation::from_tensor`].
    ///
    /// # Errors
    /// Returns an error if the shape of `tensor` does not fit.
    fn forward_in(&self, pass: &Pass, tensor: &Tensor) -> Result<Activation> {
        self.forward_owned(Activation::from_tensor(tensor, pass)?)
    }
}

/// Returns an error that names the layer unless all of its dimensions are positive.
fn require_positive(layer: &str, dimensions: &[(&str, usize)]) -> Result<()> {
    match dimensions.iter().find(|(_, size)| *size == 0) {
        None => Ok(()),
        Some((dimension, _)) => Err(Error::Layer {
            layer: layer.to_owned(),
            reason: format!("{dimension} is 0, expected at least 1"),
        }),
    }
}

/// Returns an error that names the layer unless `probability` is in [0, 1).
fn require_probability(layer: &str, probability: f64) -> Result<()> {
    match (0.0..1.0).contains(&probability) {
        true => Ok(()),
        false => Err(Error::Layer {
            layer: layer.to_owned(),
            reason: format!("the probability is {probability}, expected 0 <= p < 1"),
        }),
    }
}
