//! Turns images into tokens.

use packlight_autograd::{Activation, op};

use super::{Conv2d, Conv2dConfig, LinearConfig, Module};
use crate::{Builder, Error, Result};

/// A linear map of each square patch of an image to a token: a convolution whose stride is its
/// kernel, with `weight` (features, channels, patch, patch) and `bias` (features).
pub struct PatchEmbedding {
    conv: Conv2d,
}

impl PatchEmbedding {
    /// Makes an embedding of patches of `patch` x `patch` pixels, with PyTorch's initial values.
    ///
    /// # Errors
    /// Returns an error if a size is 0 or the name is taken.
    pub fn new(builder: &Builder, channels: usize, features: usize, patch: usize) -> Result<Self> {
        Self::with(builder, channels, features, patch, LinearConfig::default())
    }

    /// Makes an embedding with other initial values.
    ///
    /// # Errors
    /// Returns an error if a size is 0 or the name is taken.
    pub fn with(
        builder: &Builder,
        channels: usize,
        features: usize,
        patch: usize,
        config: LinearConfig,
    ) -> Result<Self> {
        let LinearConfig { init, bias } = config;
        let config = Conv2dConfig { stride: patch, init, bias, ..Conv2dConfig::default() };
        Ok(Self { conv: Conv2d::with(builder, channels, features, patch, config)? })
    }
}

impl Module for PatchEmbedding {
    /// Maps images (N,C,H,W) to tokens (N, patches, features), row after row of patches.
    fn forward(&self, x: &Activation) -> Result<Activation> {
        let maps = self.conv.forward(x)?;
        let &[samples, features, height, width] = maps.dims() else {
            let reason = format!("images (N,C,H,W) expected, {:?} found", x.dims());
            return Err(Error::Layer { layer: self.conv.name().to_owned(), reason });
        };
        let maps = op::reshape(&maps, &[samples, features, height * width])?;
        Ok(op::permute(&maps, &[0, 2, 1])?)
    }
}
