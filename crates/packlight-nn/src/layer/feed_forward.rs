//! Two linear layers with a non-linearity between them.

use packlight_autograd::Activation;

use super::{Dropout, Linear, LinearConfig, Module, Nonlinearity};
use crate::{Builder, Result};

/// `fc2(dropout(f(fc1(x))))` with a non-linearity `f`: the part of a transformer's or mixer's block
/// that widens the features and narrows them again.
pub struct FeedForward {
    fc1: Linear,
    activation: Box<dyn Module>,
    dropout: Option<Dropout>,
    fc2: Linear,
}

/// The settings of a [`FeedForward`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FeedForwardConfig {
    /// The names of the linear layers, `fc1` and `fc2` by default.
    pub names: [&'static str; 2],
    /// The settings of the linear layers.
    pub linear: [LinearConfig; 2],
    /// The levels from which on auxiliary sign activation covers the two linear layers; see
    /// [`Builder::auxiliary`].
    pub auxiliary: [u8; 2],
    /// The non-linearity, a GELU by default.
    pub activation: Nonlinearity,
    /// The probability of dropping a hidden feature, 0 by default.
    pub dropout: f64,
}

impl Default for FeedForwardConfig {
    fn default() -> Self {
        Self {
            names: ["fc1", "fc2"],
            linear: [LinearConfig::default(); 2],
            auxiliary: [2, 1],
            activation: Nonlinearity::default(),
            dropout: 0.0,
        }
    }
}

impl FeedForward {
    /// Makes a feed-forward part from `features` to `hidden` features and back, with a GELU.
    ///
    /// # Errors
    /// Returns an error if a size is 0 or a name is taken.
    pub fn new(builder: &Builder, features: usize, hidden: usize) -> Result<Self> {
        Self::with(builder, features, hidden, FeedForwardConfig::default())
    }

    /// Makes a feed-forward part with other settings.
    ///
    /// # Errors
    /// Returns an error if a size is 0, a name is taken, or the dropout is not a probability.
    pub fn with(
        builder: &Builder,
        features: usize,
        hidden: usize,
        config: FeedForwardConfig,
    ) -> Result<Self> {
        let FeedForwardConfig { names, linear, auxiliary, activation, dropout } = config;
        let part = |at: usize| builder.pp(names[at]).auxiliary(auxiliary[at]);
        let fc1 = Linear::with(&part(0), features, hidden, linear[0])?;
        let activation = activation.layer(&builder.pp("act"))?;
        let dropout =
            (dropout > 0.0).then(|| Dropout::new(&builder.pp("dropout"), dropout)).transpose()?;
        let fc2 = Linear::with(&part(1), hidden, features, linear[1])?;
        Ok(Self { fc1, activation, dropout, fc2 })
    }
}

impl Module for FeedForward {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        self.forward_owned(x.clone())
    }

    fn forward_owned(&self, x: Activation) -> Result<Activation> {
        let mut hidden = self.fc1.forward_owned(x)?;
        hidden = self.activation.forward_owned(hidden)?;
        if let Some(dropout) = &self.dropout {
            hidden = dropout.forward(&hidden)?;
        }
        self.fc2.forward(&hidden)
    }
}
