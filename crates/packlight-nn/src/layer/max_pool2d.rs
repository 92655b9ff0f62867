//! Max-pooling.

use std::sync::Arc;

use packlight_autograd::{Activation, SavePoint, op};
use packlight_record::LayerKind;

use super::{Module, require_positive};
use crate::{Builder, Result};

/// The largest value of each square window.
pub struct MaxPool2d {
    windows: op::Windows,
    layer: Arc<SavePoint>,
}

impl MaxPool2d {
    /// Registers this part of the model as a layer. Padding adds no values: windows at the edge are
    /// smaller.
    ///
    /// # Errors
    /// If the kernel or stride is 0, or the name is taken.
    pub fn new(builder: &Builder, kernel: usize, stride: usize, padding: usize) -> Result<Self> {
        let layer = builder.save_point(LayerKind::Pool)?;
        require_positive(layer.name(), &[("the kernel", kernel), ("the stride", stride)])?;
        let windows = op::Windows {
            kernel: (kernel, kernel),
            stride: (stride, stride),
            padding: (padding, padding),
        };
        Ok(Self { windows, layer })
    }
}

impl Module for MaxPool2d {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        Ok(op::max_pool2d(x, self.windows, &self.layer)?)
    }
}
