//! How parameters are updated.

use serde::{Deserialize, Serialize};

use crate::Fault;

/// A study's `[optimizer]` table; `learning_rate` is what the schedule multiplies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
pub enum OptimizerSpec {
    /// Stochastic gradient descent, by PyTorch's rule.
    Sgd {
        /// Base learning rate.
        learning_rate: f64,
        /// Momentum.
        #[serde(default)]
        momentum: f64,
        /// L2 penalty, on all parameters.
        #[serde(default)]
        weight_decay: f64,
        /// Whether the momentum is Nesterov's.
        #[serde(default)]
        nesterov: bool,
    },
    /// Adam with decoupled weight decay.
    Adamw {
        /// Base learning rate.
        learning_rate: f64,
        /// Decay of the first moment.
        #[serde(default = "beta1")]
        beta1: f64,
        /// Decay of the second moment.
        #[serde(default = "beta2")]
        beta2: f64,
        /// Added to the root of the second moment.
        #[serde(default = "epsilon")]
        epsilon: f64,
        /// Decay of all parameters per step, times the learning rate.
        #[serde(default = "decay")]
        weight_decay: f64,
    },
}

fn beta1() -> f64 {
    0.9
}
fn beta2() -> f64 {
    0.999
}
fn epsilon() -> f64 {
    1e-8
}
fn decay() -> f64 {
    0.01
}

impl OptimizerSpec {
    /// The base learning rate.
    pub fn learning_rate(&self) -> f64 {
        match *self {
            Self::Sgd { learning_rate, .. } | Self::Adamw { learning_rate, .. } => learning_rate,
        }
    }

    /// Checks that all settings are in their ranges.
    ///
    /// # Errors
    /// Returns the first setting that is not.
    pub fn check(&self) -> Result<(), Fault> {
        let positive = |v: f64| v > 0.0 && v.is_finite();
        let not_negative = |v: f64| v >= 0.0 && v.is_finite();
        let fraction = |v: f64| (0.0..1.0).contains(&v);
        let rate = ("learning_rate", self.learning_rate(), positive(self.learning_rate()), "> 0");
        let settings = match *self {
            Self::Sgd { momentum, weight_decay, nesterov, .. } => {
                if nesterov && momentum == 0.0 {
                    return Err(Fault::new("nesterov", "true given, which needs `momentum`"));
                }
                vec![
                    rate,
                    ("momentum", momentum, fraction(momentum), "in [0, 1)"),
                    ("weight_decay", weight_decay, not_negative(weight_decay), ">= 0"),
                ]
            }
            Self::Adamw { beta1, beta2, epsilon, weight_decay, .. } => vec![
                rate,
                ("beta1", beta1, fraction(beta1), "in [0, 1)"),
                ("beta2", beta2, fraction(beta2), "in [0, 1)"),
                ("epsilon", epsilon, positive(epsilon), "> 0"),
                ("weight_decay", weight_decay, not_negative(weight_decay), ">= 0"),
            ],
        };
        match settings.into_iter().find(|&(_, _, valid, _)| !valid) {
            None => Ok(()),
            Some((key, value, _, expected)) => {
                Err(Fault::new(key, format!("{value} given, expected a number {expected}")))
            }
        }
    }
}
