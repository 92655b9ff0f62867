//! A fully connected layer.

use std::sync::Arc;

use candle_core::Var;
use packlight_autograd::{Activation, SavePoint, op};
use packlight_record::LayerKind;

use super::{Module, require_positive};
use crate::{Builder, Init, Result};

/// A fully connected layer over the last axis: `weight` of shape (out, in) and, if it has one,
/// `bias` of shape (out).
pub struct Linear {
    weight: Var,
    /// Whether the weight has shape (in, out).
    transposed: bool,
    bias: Option<Var>,
    save_point: Arc<SavePoint>,
}

/// The settings of a [`Linear`]; the defaults are PyTorch's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinearConfig {
    /// The initial weight.
    pub init: Init,
    /// The initial bias, or none for a layer without bias.
    pub bias: Option<Init>,
}

impl Default for LinearConfig {
    fn default() -> Self {
        Self { init: Init::FanIn, bias: Some(Init::FanIn) }
    }
}

impl Linear {
    /// Makes a fully connected layer with bias and PyTorch's initial values.
    ///
    /// # Errors
    /// Returns an error if a size is 0 or the name is taken.
    pub fn new(builder: &Builder, in_features: usize, out_features: usize) -> Result<Self> {
        Self::with(builder, in_features, out_features, LinearConfig::default())
    }

    /// Makes a fully connected layer with other settings.
    ///
    /// # Errors
    /// Returns an error if a size is 0 or the name is taken.
    pub fn with(
        builder: &Builder,
        in_features: usize,
        out_features: usize,
        config: LinearConfig,
    ) -> Result<Self> {
        Self::made(builder, in_features, out_features, config, false)
    }

    /// Makes a fully connected layer whose `weight` has the shape (in, out), as GPT-2's have.
    ///
    /// # Errors
    /// Returns an error if a size is 0 or the name is taken.
    pub fn transposed(
        builder: &Builder,
        in_features: usize,
        out_features: usize,
        config: LinearConfig,
    ) -> Result<Self> {
        Self::made(builder, in_features, out_features, config, true)
    }

    fn made(
        builder: &Builder,
        in_features: usize,
        out_features: usize,
        config: LinearConfig,
        transposed: bool,
    ) -> Result<Self> {
        let save_point = builder.save_point(LayerKind::Linear)?;
        let sizes = [
            ("the number of input features", in_features),
            ("the number of output features", out_features),
        ];
        require_positive(save_point.name(), &sizes)?;
        let parameter = |name, shape: &[usize], init: Init| {
            builder.parameter(&save_point, name, shape, init.with_fan_in(in_features))
        };
        let shape = match transposed {
            true => [in_features, out_features],
            false => [out_features, in_features],
        };
        let weight = parameter("weight", &shape, config.init)?;
        let bias = config.bias.map(|init| parameter("bias", &[out_features], init)).transpose()?;
        Ok(Self { weight, transposed, bias, save_point })
    }
}

impl Module for Linear {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        let bias = self.bias.as_ref().map(Var::as_tensor);
        match self.transposed {
            true => Ok(op::linear_transposed(x, &self.weight, bias, &self.save_point)?),
            false => Ok(op::linear(x, &self.weight, bias, &self.save_point)?),
        }
    }
}
