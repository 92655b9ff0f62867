//! Images as tokens.

use std::sync::Arc;

use candle_core::Var;
use packlight_autograd::{Activation, SavePoint, op};
use packlight_kernels::conv2d::Conv2dGeometry;
use packlight_record::LayerKind;

use super::{Module, require_positive};
use crate::{Builder, Error, Init, Result};

/// A linear map of each square patch of an image to a token: a convolution whose stride is its
/// kernel, with `weight` (features, channels, patch, patch) and `bias` (features).
pub struct PatchEmbedding {
    weight: Var,
    bias: Var,
    patch: usize,
    layer: Arc<SavePoint>,
}

/// How a patch embedding starts.
#[derive(Debug, Clone, Copy)]
pub struct PatchConfig {
    /// Side of a patch in pixels.
    pub patch: usize,
    /// How the weight starts.
    pub init: Init,
    /// How the bias starts.
    pub bias: Init,
}

impl PatchEmbedding {
    /// Makes the parameters of this part of the model.
    ///
    /// # Errors
    /// If a size is 0 or the name is taken.
    pub fn new(
        builder: &Builder,
        channels: usize,
        features: usize,
        config: PatchConfig,
    ) -> Result<Self> {
        let layer = builder.save_point(LayerKind::Conv)?;
        let patch = config.patch;
        let sizes = [
            ("the number of input channels", channels),
            ("the number of features", features),
            ("the patch", patch),
        ];
        require_positive(layer.name(), &sizes)?;
        let shape = [features, channels, patch, patch];
        Ok(Self {
            weight: builder.parameter(&layer, "weight", &shape, config.init)?,
            bias: builder.parameter(&layer, "bias", &[features], config.bias)?,
            patch,
            layer,
        })
    }
}

impl Module for PatchEmbedding {
    /// Tokens (N, patches, features), row after row of patches, for images (N,C,H,W).
    fn forward(&self, x: &Activation) -> Result<Activation> {
        let stride = (self.patch, self.patch);
        let geometry = Conv2dGeometry { stride, ..Conv2dGeometry::default() };
        let maps = op::conv2d(x, &self.weight, Some(&self.bias), geometry, &self.layer)?;
        let &[samples, features, height, width] = maps.dims() else {
            let reason = format!("images (N,C,H,W) expected, {:?} found", x.dims());
            return Err(Error::Layer { layer: self.layer.name().to_owned(), reason });
        };
        let maps = op::reshape(&maps, &[samples, features, height * width])?;
        Ok(op::permute(&maps, &[0, 2, 1])?)
    }
}
