//! Two linear layers with a non-linearity between them.

use packlight_autograd::Activation;

use super::{Dropout, Linear, LinearConfig, Module, Nonlinearity};
use crate::{Builder, Result};

/// `fc2(dropout(f(fc1(x))))` with a non-linearity `f`, the part of a transformer's or mixer's block
/// that widens and narrows the features.
pub struct FeedForward {
    fc1: Linear,
    activation: Box<dyn Module>,
    dropout: Option<Dropout>,
    fc2: Linear,
}

impl FeedForward {
    /// Makes the parameters of this part of the model: linear layers called `names`, to `hidden`
    /// features and back, with `activation` between them, and `dropout` where it is above 0.
    ///
    /// # Errors
    /// If a size is 0 or a name is taken.
    pub fn new(
        builder: &Builder,
        names: [&str; 2],
        (features, hidden): (usize, usize),
        configs: [LinearConfig; 2],
        activation: Nonlinearity,
        dropout: f64,
    ) -> Result<Self> {
        let fc1 = Linear::new(&builder.pp(names[0]), features, hidden, configs[0])?;
        let activation = activation.layer(&builder.pp("act"))?;
        let dropout =
            (dropout > 0.0).then(|| Dropout::new(&builder.pp("dropout"), dropout)).transpose()?;
        let fc2 = Linear::new(&builder.pp(names[1]), hidden, features, configs[1])?;
        Ok(Self { fc1, activation, dropout, fc2 })
    }
}

impl Module for FeedForward {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        let mut hidden = self.activation.forward(&self.fc1.forward(x)?)?;
        if let Some(dropout) = &self.dropout {
            hidden = dropout.forward(&hidden)?;
        }
        self.fc2.forward(&hidden)
    }
}
