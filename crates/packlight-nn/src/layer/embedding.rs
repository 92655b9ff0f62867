//! A table of token embeddings.

use std::sync::Arc;

use candle_core::{Tensor, Var};
use packlight_autograd::{Activation, SavePoint, op};
use packlight_record::LayerKind;

use super::{Module, require_positive};
use crate::{Builder, Init, Result};

/// A table `weight` (entries, features), from which each token selects a row.
pub struct Embedding {
    weight: Var,
    save_point: Arc<SavePoint>,
}

impl Embedding {
    /// Makes a table that starts with PyTorch's standard normal values.
    ///
    /// # Errors
    /// Returns an error if a size is 0 or the name is taken.
    pub fn new(builder: &Builder, entries: usize, features: usize) -> Result<Self> {
        Self::with(builder, entries, features, Init::Normal { deviation: 1.0 })
    }

    /// Makes a table with other initial values.
    ///
    /// # Errors
    /// Returns an error if a size is 0 or the name is taken.
    pub fn with(builder: &Builder, entries: usize, features: usize, init: Init) -> Result<Self> {
        let save_point = builder.save_point(LayerKind::Embedding)?;
        let sizes = [("the number of entries", entries), ("the number of features", features)];
        require_positive(save_point.name(), &sizes)?;
        let weight = builder.parameter(&save_point, "weight", &[entries, features], init)?;
        Ok(Self { weight, save_point })
    }

    /// The table, outside candle's graph if the layer is frozen: for positions, and for a head that is
    /// tied to it.
    pub fn weight(&self) -> Tensor {
        match self.save_point.is_frozen() {
            true => self.weight.as_detached_tensor(),
            false => self.weight.as_tensor().clone(),
        }
    }

    /// The layer's name.
    pub(crate) fn name(&self) -> &str {
        self.save_point.name()
    }
}

impl Module for Embedding {
    /// The rows (..., features) of tokens (...), u32.
    fn forward(&self, x: &Activation) -> Result<Activation> {
        Ok(op::embedding(x, &self.weight, &self.save_point)?)
    }
}
