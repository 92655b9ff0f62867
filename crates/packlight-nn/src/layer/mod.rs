//! Layers: an op with its parameters and the name under which plans and records know it.

mod activation;
mod attention;
mod batch_norm;
mod conv2d;
mod dropout;
mod embedding;
mod feed_forward;
mod layer_norm;
mod learned;
mod linear;
mod max_pool2d;
mod patch_embedding;

pub use activation::{Gelu, Nonlinearity, Relu, Silu};
pub use attention::Attention;
pub use batch_norm::BatchNorm2d;
pub use conv2d::{Conv2d, Conv2dConfig};
pub use dropout::Dropout;
pub use embedding::Embedding;
pub use feed_forward::FeedForward;
pub use layer_norm::LayerNorm;
pub use learned::Learned;
pub use linear::{Linear, LinearConfig};
pub use max_pool2d::MaxPool2d;
pub use patch_embedding::{PatchConfig, PatchEmbedding};

use packlight_autograd::Activation;

use crate::{Error, Result};

/// Anything that an activation can pass through.
pub trait Module: Send + Sync {
    /// The output for `x`, linked to it where the pass is for training.
    ///
    /// # Errors
    /// If the shape of `x` does not fit.
    fn forward(&self, x: &Activation) -> Result<Activation>;
}

/// Answers an error that names the layer unless all of its dimensions are positive.
fn require_positive(layer: &str, dimensions: &[(&str, usize)]) -> Result<()> {
    match dimensions.iter().find(|(_, size)| *size == 0) {
        None => Ok(()),
        Some((dimension, _)) => Err(Error::Layer {
            layer: layer.to_owned(),
            reason: format!("{dimension} is 0, expected at least 1"),
        }),
    }
}

/// Answers an error that names the layer unless it can drop with `probability`.
fn require_probability(layer: &str, probability: f64) -> Result<()> {
    match (0.0..1.0).contains(&probability) {
        true => Ok(()),
        false => Err(Error::Layer {
            layer: layer.to_owned(),
            reason: format!("the probability is {probability}, expected 0 <= p < 1"),
        }),
    }
}
