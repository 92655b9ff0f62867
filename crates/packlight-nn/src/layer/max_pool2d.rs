//! Max-pooling.

use std::sync::Arc;

use packlight_autograd::{Activation, SavePoint, op};
use packlight_record::LayerKind;

use super::{Module, require_positive};
use crate::{Builder, Result};

/// The largest value of each square window of images (N,C,H,W).
pub struct MaxPool2d {
    windows: op::Windows,
    save_point: Arc<SavePoint>,
}

impl MaxPool2d {
    /// Makes a max-pooling layer whose windows are adjacent.
    ///
    /// # Errors
    /// Returns an error if the kernel is 0 or the name is taken.
    pub fn new(builder: &Builder, kernel: usize) -> Result<Self> {
        Self::with(builder, kernel, kernel, 0)
    }

    /// Makes a max-pooling layer with another stride and padding. Padding adds no values: windows
    /// at the edge are smaller.
    ///
    /// # Errors
    /// Returns an error if the kernel or stride is 0, or the name is taken.
    pub fn with(builder: &Builder, kernel: usize, stride: usize, padding: usize) -> Result<Self> {
        let save_point = builder.save_point(LayerKind::Pool)?;
        require_positive(save_point.name(), &[("the kernel", kernel), ("the stride", stride)])?;
        let windows = op::Windows {
            kernel: (kernel, kernel),
            stride: (stride, stride),
            padding: (padding, padding),
        };
        Ok(Self { windows, save_point })
    }
}

impl Module for MaxPool2d {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        Ok(op::max_pool2d(x, self.windows, &self.save_point)?)
    }
}
