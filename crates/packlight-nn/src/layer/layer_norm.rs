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
    save_point: Arc<SavePoint>,
}

impl LayerNorm {
    /// Makes a norm of `features` features that starts with weight 1 and bias 0, with PyTorch's
    /// epsilon of 1e-5.
    ///
    /// # Errors
    /// Returns an error if there are no features or the name is taken.
    pub fn new(builder: &Builder, features: usize) -> Result<Self> {
        Self::with(builder, features, 1e-5)
    }

    /// Makes a norm with another epsilon.
    ///
    /// # Errors
    /// Returns an error if there are no features or the name is taken.
    pub fn with(builder: &Builder, features: usize, epsilon: f64) -> Result<Self> {
        let save_point = builder.save_point(LayerKind::Norm)?;
        require_positive(save_point.name(), &[("the number of features", features)])?;
        Ok(Self {
            weight: builder.parameter(&save_point, "weight", &[features], Init::Constant(1.0))?,
            bias: builder.parameter(&save_point, "bias", &[features], Init::Constant(0.0))?,
            epsilon,
            save_point,
        })
    }
}

impl Module for LayerNorm {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        Ok(op::layer_norm(x, &self.weight, &self.bias, self.epsilon, &self.save_point)?)
    }
}
