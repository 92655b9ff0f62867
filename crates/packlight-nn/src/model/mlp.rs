//! Fully connected layers with ReLUs between them.

use packlight_autograd::{Activation, op};

use super::spec::MlpSizes;
use crate::layer::{Linear, LinearConfig, Relu};
use crate::{Builder, Module, Result};

/// A multi-layer perceptron: `fc1`, `relu1`, `fc2`, `relu2`, ... and a last `fc` to the classes,
/// numbered on.
pub struct Mlp {
    hidden: Vec<(Linear, Relu)>,
    classifier: Linear,
}

impl Mlp {
    pub(super) fn new(builder: &Builder, sizes: &MlpSizes) -> Result<Self> {
        let mut features = sizes.inputs;
        let mut linear = |number: usize, out| {
            let config = LinearConfig::pytorch(features);
            let layer = Linear::new(&builder.pp(format!("fc{number}")), features, out, config);
            features = out;
            layer
        };
        let mut hidden = Vec::with_capacity(sizes.hidden.len());
        for (number, &size) in (1..).zip(&sizes.hidden) {
            let relu = builder.pp(format!("relu{number}"));
            hidden.push((linear(number, size)?, Relu::new(&relu)?));
        }
        let classifier = linear(hidden.len() + 1, sizes.classes)?;
        Ok(Self { hidden, classifier })
    }
}

impl Module for Mlp {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        let mut x = op::flatten(x)?;
        for (linear, relu) in &self.hidden {
            x = relu.forward(&linear.forward(&x)?)?;
        }
        self.classifier.forward(&x)
    }
}
