//! A learned tensor that is the same for each sample.

use std::sync::Arc;

use candle_core::{Tensor, Var};
use packlight_autograd::SavePoint;
use packlight_record::LayerKind;

use crate::{Builder, Init, Result};

/// A class token or a table of positions: a parameter called as its layer is, without `.weight`.
pub struct Learned {
    value: Var,
    layer: Arc<SavePoint>,
}

impl Learned {
    /// Makes this part of the model a parameter of `shape`.
    ///
    /// # Errors
    /// If the name is taken.
    pub fn new(builder: &Builder, shape: &[usize], init: Init) -> Result<Self> {
        let layer = builder.save_point(LayerKind::Embedding)?;
        Ok(Self { value: builder.parameter(&layer, "", shape, init)?, layer })
    }

    /// Its value; outside candle's graph where the layer is frozen.
    pub fn value(&self) -> Tensor {
        match self.layer.is_frozen() {
            true => self.value.as_detached_tensor(),
            false => self.value.as_tensor().clone(),
        }
    }
}
