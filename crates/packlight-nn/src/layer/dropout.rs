//! Dropout.

use std::sync::Arc;

use packlight_autograd::{Activation, SavePoint, op};
use packlight_record::LayerKind;

use super::{Module, require_probability};
use crate::{Builder, Result};

/// Sets a random part of the elements to 0 in training and scales the others up to match
/// (Srivastava et al., JMLR 2014). The pass's seed and step and the layer's name choose which.
pub struct Dropout {
    probability: f64,
    layer: Arc<SavePoint>,
}

impl Dropout {
    /// Registers this part of the model as a layer that drops with `probability`, in [0, 1).
    ///
    /// # Errors
    /// If the probability is outside of it or the name is taken.
    pub fn new(builder: &Builder, probability: f64) -> Result<Self> {
        let layer = builder.save_point(LayerKind::Dropout)?;
        require_probability(layer.name(), probability)?;
        Ok(Self { probability, layer })
    }
}

impl Module for Dropout {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        Ok(op::dropout(x, self.probability, &self.layer)?)
    }
}
