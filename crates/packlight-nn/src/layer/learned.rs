//! A learned tensor that is the same for each sample.

use std::sync::Arc;

use candle_core::{Tensor, Var};
use packlight_autograd::SavePoint;
use packlight_record::LayerKind;

use crate::{Builder, Init, Result};

/// A class token or a table of positions: a parameter with the name of its layer, without
/// `.weight`.
pub struct Learned {
    value: Var,
    save_point: Arc<SavePoint>,
}

impl Learned {
    /// Makes a parameter of `shape`.
    ///
    /// # Errors
    /// Returns an error if the name is taken.
    pub fn new(builder: &Builder, shape: &[usize], init: Init) -> Result<Self> {
        let save_point = builder.save_point(LayerKind::Embedding)?;
        Ok(Self { value: builder.parameter(&save_point, "", shape, init)?, save_point })
    }

    /// Its value, outside candle's graph if the layer is frozen.
    pub fn value(&self) -> Tensor {
        match self.save_point.is_frozen() {
            true => self.value.as_detached_tensor(),
            false => self.value.as_tensor().clone(),
        }
    }
}
