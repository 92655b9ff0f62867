//! Layer normalisation.

use std::sync::Arc;

use candle_core::Var;
use packlight_autograd::{Activation, SavePoint, op};
use packlight_record::LayerKind;

use super::{Module, require_positive};
use crate::{Builder, Init, Result};

/// Layer normalisation over the last axis (Ba et al., 2016).
pub struct LayerNorm {
    weight: Var,
    bias: Var,
    epsilon: f64,
    layer: Arc<SavePoint>,
}

impl LayerNorm {
    /// Makes the parameters of this part of the model: weight 1 and bias 0. PyTorch's epsilon is
    /// 1e-5; models differ.
    ///
    /// # Errors
    /// If there are no features or the name is taken.
    pub fn new(builder: &Builder, features: usize, epsilon: f64) -> Result<Self> {
        let layer = builder.save_point(LayerKind::Norm)?;
        require_positive(layer.name(), &[("the number of features", features)])?;
        Ok(Self {
            weight: builder.parameter(&layer, "weight", &[features], Init::Constant(1.0))?,
            bias: builder.parameter(&layer, "bias", &[features], Init::Constant(0.0))?,
            epsilon,
            layer,
        })
    }
}

impl Module for LayerNorm {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        Ok(op::layer_norm(x, &self.weight, &self.bias, self.epsilon, &self.layer)?)
    }
}
