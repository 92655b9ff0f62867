//! A table of token embeddings.

use std::sync::Arc;

use candle_core::Var;
use packlight_autograd::{Activation, SavePoint, op};
use packlight_record::LayerKind;

use super::{Module, require_positive};
use crate::{Builder, Init, Result};

/// A table of `weight` (entries, features), of which each token takes its row.
pub struct Embedding {
    weight: Var,
    layer: Arc<SavePoint>,
}

impl Embedding {
    /// Makes the parameters of this part of the model.
    ///
    /// # Errors
    /// If a size is 0 or the name is taken.
    pub fn new(builder: &Builder, entries: usize, features: usize, init: Init) -> Result<Self> {
        let layer = builder.save_point(LayerKind::Embedding)?;
        let sizes = [("the number of entries", entries), ("the number of features", features)];
        require_positive(layer.name(), &sizes)?;
        Ok(Self { weight: builder.parameter(&layer, "weight", &[entries, features], init)?, layer })
    }
}

impl Embedding {
    /// The layer's name.
    pub(crate) fn name(&self) -> &str {
        self.layer.name()
    }
}

impl Module for Embedding {
    /// Rows (..., features) for tokens (...), u32.
    fn forward(&self, x: &Activation) -> Result<Activation> {
        Ok(op::embedding(x, &self.weight, &self.layer)?)
    }
}
