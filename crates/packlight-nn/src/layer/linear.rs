//! A fully connected layer.

use std::sync::Arc;

use candle_core::Var;
use packlight_autograd::{Activation, SavePoint, op};
use packlight_record::LayerKind;

use super::{Module, require_positive};
use crate::{Builder, Init, Result};

/// A fully connected layer over the last axis: `weight` of shape (out, in) and, where it has one,
/// `bias` of shape (out).
pub struct Linear {
    weight: Var,
    bias: Option<Var>,
    layer: Arc<SavePoint>,
}

/// What a fully connected layer needs besides its features.
#[derive(Debug, Clone, Copy)]
pub struct LinearConfig {
    /// How the weight starts.
    pub init: Init,
    /// How the bias starts, if there is one.
    pub bias: Option<Init>,
    /// The level from which on auxiliary sign activation covers it, if it is one of those layers
    /// of a transformer or mixer; see [`SavePoint::auxiliary`].
    pub auxiliary: Option<u8>,
}

impl LinearConfig {
    /// As in PyTorch: weight and bias uniform within `1 / sqrt(in_features)`.
    pub fn pytorch(in_features: usize) -> Self {
        let init = Init::pytorch(in_features);
        Self { init, bias: Some(init), auxiliary: None }
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
        let layer = match config.auxiliary {
            Some(level) => builder.auxiliary_save_point(level)?,
            None => builder.save_point(LayerKind::Linear)?,
        };
        let sizes = [
            ("the number of input features", in_features),
            ("the number of output features", out_features),
        ];
        require_positive(layer.name(), &sizes)?;
        let weight =
            builder.parameter(&layer, "weight", &[out_features, in_features], config.init)?;
        let bias = config.bias.map(|init| builder.parameter(&layer, "bias", &[out_features], init));
        Ok(Self { weight, bias: bias.transpose()?, layer })
    }
}

impl Module for Linear {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        let bias = self.bias.as_ref().map(Var::as_tensor);
        Ok(op::linear(x, &self.weight, bias, &self.layer)?)
    }
}
