//! Pointwise non-linearities.

use std::sync::Arc;

use packlight_autograd::{Activation, Layer, op};
use packlight_record::LayerKind;

use super::Module;
use crate::{Builder, Result};

/// `max(x, 0)`; keeps one bit per element.
pub struct Relu {
    layer: Arc<Layer>,
}

impl Relu {
    /// Registers this part of the model as a layer.
    ///
    /// # Errors
    /// If the name is taken.
    pub fn new(builder: &Builder) -> Result<Self> {
        Ok(Self { layer: builder.layer(LayerKind::Relu)? })
    }
}

impl Module for Relu {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        Ok(op::relu(x, &self.layer)?)
    }
}

/// `x` times the standard normal distribution function of `x`, in its exact form (Hendrycks and
/// Gimpel, 2016).
pub struct Gelu {
    layer: Arc<Layer>,
}

impl Gelu {
    /// Registers this part of the model as a layer.
    ///
    /// # Errors
    /// If the name is taken.
    pub fn new(builder: &Builder) -> Result<Self> {
        Ok(Self { layer: builder.layer(LayerKind::Activation)? })
    }
}

impl Module for Gelu {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        Ok(op::gelu(x, &self.layer)?)
    }
}

/// `x` times the logistic function of `x`, also called swish (Elfwing, Uchibe and Doya, 2018).
pub struct Silu {
    layer: Arc<Layer>,
}

impl Silu {
    /// Registers this part of the model as a layer.
    ///
    /// # Errors
    /// If the name is taken.
    pub fn new(builder: &Builder) -> Result<Self> {
        Ok(Self { layer: builder.layer(LayerKind::Activation)? })
    }
}

impl Module for Silu {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        Ok(op::silu(x, &self.layer)?)
    }
}
