//! A two-dimensional convolution.

use std::sync::Arc;

use candle_core::Var;
use packlight_autograd::{Activation, SavePoint, op};
use packlight_kernels::conv2d::Conv2dGeometry;
use packlight_record::LayerKind;

use super::{Module, require_positive};
use crate::{Builder, Error, Init, Result};

/// A two-dimensional convolution with a square kernel over images (N,C,H,W): `weight` of shape
/// (out, in / groups, kernel, kernel) and, if it has one, `bias` of shape (out).
pub struct Conv2d {
    weight: Var,
    bias: Option<Var>,
    geometry: Conv2dGeometry,
    save_point: Arc<SavePoint>,
}

/// The settings of a [`Conv2d`]; the defaults are PyTorch's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conv2dConfig {
    /// Pixels from one window to the next, 1 by default.
    pub stride: usize,
    /// Rows and columns of zeros around the image, none by default.
    pub padding: usize,
    /// Pixels from one tap of the kernel to the next, 1 by default.
    pub dilation: usize,
    /// Groups of channels that do not mix, 1 by default.
    pub groups: usize,
    /// The initial weight.
    pub init: Init,
    /// The initial bias, or none for a convolution without bias.
    pub bias: Option<Init>,
}

impl Default for Conv2dConfig {
    fn default() -> Self {
        Self {
            stride: 1,
            padding: 0,
            dilation: 1,
            groups: 1,
            init: Init::FanIn,
            bias: Some(Init::FanIn),
        }
    }
}

impl Conv2d {
    /// Makes a convolution with PyTorch's defaults: stride 1, no padding, with bias.
    ///
    /// # Errors
    /// Returns an error if a size is 0 or the name is taken.
    pub fn new(
        builder: &Builder,
        in_channels: usize,
        out_channels: usize,
        kernel: usize,
    ) -> Result<Self> {
        Self::with(builder, in_channels, out_channels, kernel, Conv2dConfig::default())
    }

    /// Makes a convolution with other settings.
    ///
    /// # Errors
    /// Returns an error if a size is 0, the groups do not divide the channels, or the name is taken.
    pub fn with(
        builder: &Builder,
        in_channels: usize,
        out_channels: usize,
        kernel: usize,
        config: Conv2dConfig,
    ) -> Result<Self> {
        let Conv2dConfig { stride, padding, dilation, groups, init, bias } = config;
        let save_point = builder.save_point(LayerKind::Conv)?;
        let sizes = [
            ("the number of input channels", in_channels),
            ("the number of output channels", out_channels),
            ("the kernel", kernel),
            ("the number of groups", groups),
        ];
        require_positive(save_point.name(), &sizes)?;
        if !in_channels.is_multiple_of(groups) || !out_channels.is_multiple_of(groups) {
            return Err(Error::Layer {
                layer: save_point.name().to_owned(),
                reason: format!(
                    "{groups} groups do not divide both {in_channels} input and {out_channels} \
                     output channels"
                ),
            });
        }
        let shape = [out_channels, in_channels / groups, kernel, kernel];
        let fan_in = shape[1] * kernel * kernel;
        let parameter = |name, shape: &[usize], init: Init| {
            builder.parameter(&save_point, name, shape, init.with_fan_in(fan_in))
        };
        let weight = parameter("weight", &shape, init)?;
        let bias = bias.map(|init| parameter("bias", &[out_channels], init)).transpose()?;
        let geometry = Conv2dGeometry {
            stride: (stride, stride),
            padding: (padding, padding),
            dilation: (dilation, dilation),
            groups,
        };
        Ok(Self { weight, bias, geometry, save_point })
    }

    /// The layer's name.
    pub(super) fn name(&self) -> &str {
        self.save_point.name()
    }
}

impl Module for Conv2d {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        let bias = self.bias.as_ref().map(Var::as_tensor);
        Ok(op::conv2d(x, &self.weight, bias, self.geometry, &self.save_point)?)
    }
}
