//! A two-dimensional convolution.

use std::sync::Arc;

use candle_core::Var;
use packlight_autograd::{Activation, SavePoint, op};
use packlight_kernels::conv2d::Conv2dGeometry;
use packlight_record::LayerKind;

use super::{Module, require_positive};
use crate::{Builder, Error, Init, Result};

/// A two-dimensional convolution: `weight` of shape (out, in / groups, kernel, kernel) and, where
/// it has one, `bias` of shape (out).
pub struct Conv2d {
    weight: Var,
    bias: Option<Var>,
    geometry: Conv2dGeometry,
    layer: Arc<SavePoint>,
}

/// What a convolution needs besides its channels.
#[derive(Debug, Clone, Copy)]
pub struct Conv2dConfig {
    /// Side of the square kernel.
    pub kernel: usize,
    /// Stride, padding, dilation and groups.
    pub geometry: Conv2dGeometry,
    /// Whether there is a bias.
    pub bias: bool,
    /// How the weight starts; a bias starts as in PyTorch.
    pub init: Init,
}

impl Conv2d {
    /// Makes the parameters of this part of the model.
    ///
    /// # Errors
    /// If a size is 0, the groups do not divide the channels, or the name is taken.
    pub fn new(
        builder: &Builder,
        in_channels: usize,
        out_channels: usize,
        config: Conv2dConfig,
    ) -> Result<Self> {
        let Conv2dConfig { kernel, geometry, bias, init } = config;
        let layer = builder.save_point(LayerKind::Conv)?;
        let sizes = [
            ("the number of input channels", in_channels),
            ("the number of output channels", out_channels),
            ("the kernel", kernel),
            ("the number of groups", geometry.groups),
        ];
        require_positive(layer.name(), &sizes)?;
        let divide = |channels: usize| channels.is_multiple_of(geometry.groups);
        if !divide(in_channels) || !divide(out_channels) {
            return Err(Error::Layer {
                layer: layer.name().to_owned(),
                reason: format!(
                    "{} groups do not divide both {in_channels} input and {out_channels} output \
                     channels",
                    geometry.groups
                ),
            });
        }
        let shape = [out_channels, in_channels / geometry.groups, kernel, kernel];
        let weight = builder.parameter(&layer, "weight", &shape, init)?;
        let fan_in = shape[1] * kernel * kernel;
        let bias = match bias {
            true => {
                Some(builder.parameter(&layer, "bias", &[out_channels], Init::pytorch(fan_in))?)
            }
            false => None,
        };
        Ok(Self { weight, bias, geometry, layer })
    }
}

impl Module for Conv2d {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        let bias = self.bias.as_ref().map(Var::as_tensor);
        Ok(op::conv2d(x, &self.weight, bias, self.geometry, &self.layer)?)
    }
}
