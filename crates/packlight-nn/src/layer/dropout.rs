//! Dropout.

use std::sync::Arc;

use packlight_autograd::{Activation, Layer, op};
use packlight_record::LayerKind;

use super::Module;
use crate::{Builder, Error, Result};

/// Sets a random part of the elements to 0 in training and scales the others up to match
/// (Srivastava et al., JMLR 2014). The pass's seed and step and the layer's name choose which.
pub struct Dropout {
    probability: f64,
    layer: Arc<Layer>,
}

impl Dropout {
    /// Registers this part of the model as a layer that drops with `probability`, in [0, 1).
    ///
    /// # Errors
    /// If the probability is outside of it or the name is taken.
    pub fn new(builder: &Builder, probability: f64) -> Result<Self> {
        let layer = builder.layer(LayerKind::Dropout)?;
        if !(0.0..1.0).contains(&probability) {
            return Err(Error::Layer {
                layer: layer.name().to_owned(),
                reason: format!("the probability is {probability}, expected 0 <= p < 1"),
            });
        }
        Ok(Self { probability, layer })
    }
}

impl Module for Dropout {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        Ok(op::dropout(x, self.probability, &self.layer)?)
    }
}
