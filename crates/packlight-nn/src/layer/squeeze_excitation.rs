//! Squeeze-and-excitation.

use std::sync::Arc;

use packlight_autograd::{Activation, SavePoint, op};
use packlight_record::LayerKind;

use super::{Conv2d, Conv2dConfig, Module, Silu};
use crate::{Builder, Init, Result};

/// Multiplies each channel of images (N,C,H,W) with a gate between 0 and 1 that two layers compute
/// from the means of all channels (Hu, Shen and Sun, CVPR 2018): `fc1` to fewer channels, SiLU, and
/// `fc2`, with the logistic function.
pub struct SqueezeExcitation {
    fc1: Conv2d,
    activation: Silu,
    fc2: Conv2d,
    scale_activation: Arc<SavePoint>,
    input: Arc<SavePoint>,
    gate: Arc<SavePoint>,
}

impl SqueezeExcitation {
    /// Makes the layer, with `squeezed` channels between `fc1` and `fc2`, whose weights start at
    /// `init` and whose biases at 0.
    ///
    /// # Errors
    /// Returns an error if a size is 0 or a name is taken.
    pub fn new(builder: &Builder, channels: usize, squeezed: usize, init: Init) -> Result<Self> {
        let config =
            Conv2dConfig { init, bias: Some(Init::Constant(0.0)), ..Conv2dConfig::default() };
        let saver = |name: &str| builder.pp(name).save_point(LayerKind::Attention);
        Ok(Self {
            fc1: Conv2d::with(&builder.pp("fc1"), channels, squeezed, 1, config)?,
            activation: Silu::new(&builder.pp("activation"))?,
            fc2: Conv2d::with(&builder.pp("fc2"), squeezed, channels, 1, config)?,
            scale_activation: saver("scale_activation")?,
            input: saver("input")?,
            gate: saver("gate")?,
        })
    }
}

impl Module for SqueezeExcitation {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        let means = op::global_avg_pool2d(x)?;
        let means = op::reshape(&means, &[means.dims(), &[1, 1]].concat())?;
        let y = self.fc2.forward(&self.activation.forward_owned(self.fc1.forward(&means)?)?)?;
        let gate = op::sigmoid(&y, &self.scale_activation)?;
        Ok(op::gate(x, &gate, &self.input, &self.gate)?)
    }
}
