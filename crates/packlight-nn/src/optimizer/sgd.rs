//! Stochastic gradient descent with momentum.

use std::collections::{BTreeMap, HashMap};

use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};
use candle_nn::Optimizer;
use packlight_kernels::optimizer as kernel;

use super::{Resumable, UpdateEach, UpdateOne, copies, named_vars, numbered_vars, zeros_beside};
use crate::{Parameters, Result, weights};

/// Stochastic gradient descent with momentum, weight decay and Nesterov's look-ahead, by PyTorch's
/// rule without dampening:
///
/// ```text
/// d     = g + wd theta
/// v     <- momentum v + d
/// theta <- theta - lr v                  (Nesterov: theta - lr (d + momentum v))
/// ```
///
/// As in PyTorch, weight decay applies to all parameters, biases and norms included, and a
/// parameter without a gradient does not change.
#[derive(Debug)]
pub struct Sgd {
    vars: Vec<(String, Var)>,
    velocities: Vec<(String, Var)>,
    config: SgdConfig,
}

/// The settings of [`Sgd`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SgdConfig {
    /// Learning rate.
    pub lr: f64,
    /// The momentum: the factor on the previous velocity.
    pub momentum: f64,
    /// The weight decay: the factor on a parameter that is added to its gradient.
    pub weight_decay: f64,
    /// Whether to use Nesterov's look-ahead.
    pub nesterov: bool,
}

impl Default for SgdConfig {
    /// The usual settings for residual networks: rate 0.1, momentum 0.9, no weight decay.
    fn default() -> Self {
        Self { lr: 0.1, momentum: 0.9, weight_decay: 0.0, nesterov: false }
    }
}

impl Sgd {
    /// How many numbers it keeps for each number of a parameter, frozen or not.
    pub const STATE: usize = 1;

    /// Makes an optimizer of a model's parameters, whose names its state uses.
    ///
    /// # Errors
    /// Returns an error if the state cannot be allocated.
    pub fn for_parameters(parameters: &Parameters, config: SgdConfig) -> Result<Self> {
        Ok(Self::from_vars(named_vars(parameters), config)?)
    }

    fn from_vars(vars: Vec<(String, Var)>, config: SgdConfig) -> candle_core::Result<Self> {
        Ok(Self { velocities: zeros_beside(&vars, "velocity")?, vars, config })
    }
}

impl Optimizer for Sgd {
    type Config = SgdConfig;

    fn new(vars: Vec<Var>, config: SgdConfig) -> candle_core::Result<Self> {
        Self::from_vars(numbered_vars(vars), config)
    }

    fn step(&mut self, grads: &GradStore) -> candle_core::Result<()> {
        let update = self.begin_step();
        let mut vars = self.vars.iter();
        vars.try_for_each(|(_, var)| grads.get(var).map_or(Ok(()), |grad| update(var, grad)))
    }

    fn learning_rate(&self) -> f64 {
        self.config.lr
    }

    fn set_learning_rate(&mut self, lr: f64) {
        self.config.lr = lr;
    }
}

impl UpdateEach for Sgd {
    fn begin_step(&mut self) -> UpdateOne {
        let SgdConfig { lr, momentum, weight_decay, nesterov } = self.config;
        let rule = kernel::Sgd { learning_rate: lr, momentum, weight_decay, nesterov };
        let velocities = self.vars.iter().zip(&self.velocities);
        let velocities: HashMap<_, _> =
            velocities.map(|((_, var), (_, velocity))| (var.id(), velocity.clone())).collect();
        Box::new(move |var, gradient| {
            let Some(velocity) = velocities.get(&var.id()) else { return Ok(()) };
            rule.step(var, velocity, gradient).map_err(candle_core::Error::wrap)
        })
    }
}

impl Resumable for Sgd {
    fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        copies(&self.velocities)
    }

    fn set_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        weights::assign(self.velocities.iter(), state, "the optimizer's state")
    }
}
