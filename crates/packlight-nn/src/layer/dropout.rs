//! Dropout of elements, and of samples.

use std::sync::Arc;

use packlight_autograd::{Activation, SavePoint, op};
use packlight_record::LayerKind;

use super::{Module, require_probability};
use crate::{Builder, Result};

/// In training, sets elements to 0 at random and scales the others up to preserve the mean
/// (Srivastava et al., JMLR 2014). The pass's seed and step and the layer's name determine which
/// elements.
pub struct Dropout {
    probability: f64,
    save_point: Arc<SavePoint>,
}

impl Dropout {
    /// Makes a layer that drops an element with `probability`, in [0, 1).
    ///
    /// # Errors
    /// Returns an error if the probability is not in [0, 1) or the name is taken.
    pub fn new(builder: &Builder, probability: f64) -> Result<Self> {
        let save_point = builder.save_point(LayerKind::Dropout)?;
        require_probability(save_point.name(), probability)?;
        Ok(Self { probability, save_point })
    }
}

impl Module for Dropout {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        Ok(op::dropout(x, self.probability, &self.save_point)?)
    }
}

/// In training, sets whole samples to 0 at random and scales the others up to preserve the mean
/// (Huang et al., "Deep networks with stochastic depth", ECCV 2016). The pass's seed and step and the
/// layer's name determine which samples.
pub struct StochasticDepth {
    probability: f64,
    save_point: Arc<SavePoint>,
}

impl StochasticDepth {
    /// Makes a layer that drops a sample with `probability`, in [0, 1).
    ///
    /// # Errors
    /// Returns an error if the probability is not in [0, 1) or the name is taken.
    pub fn new(builder: &Builder, probability: f64) -> Result<Self> {
        let save_point = builder.save_point(LayerKind::Dropout)?;
        require_probability(save_point.name(), probability)?;
        Ok(Self { probability, save_point })
    }
}

impl Module for StochasticDepth {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        Ok(op::stochastic_depth(x, self.probability, &self.save_point)?)
    }
}
