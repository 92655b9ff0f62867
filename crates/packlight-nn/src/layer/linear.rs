//! A fully connected layer.

use std::sync::Arc;

use candle_core::Var;
use packlight_autograd::{Activation, Layer, op};
use packlight_record::LayerKind;

use super::{Module, require_positive};
use crate::{Builder, Init, Result};

/// A fully connected layer over the last axis: `weight` of shape (out, in) and, where it has one,
/// `bias` of shape (out).
pub struct Linear {
    weight: Var,
    bias: Option<Var>,
    layer: Arc<Layer>,
}

/// What a fully connected layer needs besides its features.
#[derive(Debug, Clone, Copy)]
pub struct LinearConfig {
    /// Whether there is a bias.
    pub bias: bool,
    /// How the weight starts; a bias starts as in PyTorch.
    pub init: Init,
}

impl LinearConfig {
    /// As in PyTorch: with a bias, and a weight uniform within `1 / sqrt(in_features)`.
    pub fn pytorch(in_features: usize) -> Self {
        Self { bias: true, init: Init::pytorch(in_features) }
    }
}

impl Linear {
    /// Makes the parameters of this part of the model.
    ///
    /// # Errors
    /// If a size is 0 or the name is taken.
    pub fn new(
        builder: &Builder,
        in_features: usize,
        out_features: usize,
        config: LinearConfig,
    ) -> Result<Self> {
        let layer = builder.layer(LayerKind::Linear)?;
        let sizes = [
            ("the number of input features", in_features),
            ("the number of output features", out_features),
        ];
        require_positive(layer.name(), &sizes)?;
        let weight = builder.parameter("weight", &[out_features, in_features], config.init)?;
        let bias = match config.bias {
            true => Some(builder.parameter("bias", &[out_features], Init::pytorch(in_features))?),
            false => None,
        };
        Ok(Self { weight, bias, layer })
    }
}

impl Module for Linear {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        let bias = self.bias.as_ref().map(Var::as_tensor);
        Ok(op::linear(x, &self.weight, bias, &self.layer)?)
    }
}
