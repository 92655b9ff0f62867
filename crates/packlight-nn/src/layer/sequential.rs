//! Layers one after another.

use packlight_autograd::{Activation, op};

use super::Module;
use crate::Result;

/// Layers one after another, each named by its own builder.
///
/// ```
/// # use candle_core::{DType, Device};
/// use packlight_nn::prelude::*;
///
/// # fn main() -> packlight_nn::Result<()> {
/// let builder = Builder::new(0, DType::F32, &Device::Cpu)?;
/// let net = Sequential::new()
///     .add(Conv2d::new(&builder.pp(0), 3, 16, 3)?)
///     .add(Relu::new(&builder.pp(1))?)
///     .add(GlobalAvgPool2d)
///     .add(Linear::new(&builder.pp("classifier"), 16, 10)?);
/// let names: Vec<String> = builder.finish().named().map(|(name, _)| name.to_owned()).collect();
/// assert_eq!(names, ["0.weight", "0.bias", "classifier.weight", "classifier.bias"]);
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
pub struct Sequential {
    layers: Vec<Box<dyn Module>>,
}

impl Sequential {
    /// Makes a network without layers, which returns its input.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a layer at the end.
    #[expect(clippy::should_implement_trait, reason = "the name that candle-nn gives it")]
    pub fn add(mut self, layer: impl Module + 'static) -> Self {
        self.layers.push(Box::new(layer));
        self
    }
}

impl Module for Sequential {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        self.forward_owned(x.clone())
    }

    fn forward_owned(&self, x: Activation) -> Result<Activation> {
        self.layers.iter().try_fold(x, |x, layer| layer.forward_owned(x))
    }
}

/// Flattens all axes after the first into one; saves nothing.
pub struct Flatten;

impl Module for Flatten {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        Ok(op::flatten(x)?)
    }
}

/// The mean (N,C) of images (N,C,H,W) over their pixels; saves nothing.
pub struct GlobalAvgPool2d;

impl Module for GlobalAvgPool2d {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        Ok(op::global_avg_pool2d(x)?)
    }
}
