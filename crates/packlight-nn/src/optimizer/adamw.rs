//! AdamW.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::{Optimizer, ParamsAdamW};

use super::{Resumable, copies, named_vars, numbered_vars, zeros_beside};
use crate::{Parameters, Result, weights};

const STEPS: &str = "steps";

/// AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019). It has the
/// formulas and the configuration of candle-nn's AdamW, whose state cannot be read:
///
/// ```text
/// m     <- beta1 m + (1 - beta1) g
/// v     <- beta2 v + (1 - beta2) g^2
/// theta <- (1 - lr wd) theta - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)
/// ```
///
/// As in PyTorch, weight decay applies to all parameters, biases and norms included.
#[derive(Debug)]
pub struct AdamW {
    vars: Vec<(String, Var)>,
    first_moments: Vec<(String, Var)>,
    second_moments: Vec<(String, Var)>,
    steps: u32,
    config: ParamsAdamW,
}

impl AdamW {
    /// How many numbers it keeps for each number of a parameter, frozen or not.
    pub const STATE: usize = 2;

    /// Makes an optimizer of a model's parameters, whose names its state uses.
    ///
    /// # Errors
    /// Returns an error if the state cannot be allocated.
    pub fn for_parameters(parameters: &Parameters, config: ParamsAdamW) -> Result<Self> {
        Ok(Self::from_vars(named_vars(parameters), config)?)
    }

    fn from_vars(vars: Vec<(String, Var)>, config: ParamsAdamW) -> candle_core::Result<Self> {
        Ok(Self {
            first_moments: zeros_beside(&vars, "first_moment")?,
            second_moments: zeros_beside(&vars, "second_moment")?,
            vars,
            steps: 0,
            config,
        })
    }
}

impl Optimizer for AdamW {
    type Config = ParamsAdamW;

    fn new(vars: Vec<Var>, config: ParamsAdamW) -> candle_core::Result<Self> {
        Self::from_vars(numbered_vars(vars), config)
    }

    fn step(&mut self, grads: &GradStore) -> candle_core::Result<()> {
        self.steps += 1;
        let ParamsAdamW { lr, beta1, beta2, eps, weight_decay } = self.config;
        let first_scale = 1.0 / (1.0 - beta1.powi(self.steps as i32));
        let second_scale = 1.0 / (1.0 - beta2.powi(self.steps as i32));
        let moments = self.first_moments.iter().zip(&self.second_moments);
        for ((_, theta), ((_, m), (_, v))) in self.vars.iter().zip(moments) {
            let Some(gradient) = grads.get(theta) else { continue };
            let next_m = ((m.as_tensor() * beta1)? + (gradient * (1.0 - beta1))?)?;
            let next_v = ((v.as_tensor() * beta2)? + (gradient.sqr()? * (1.0 - beta2))?)?;
            let deviation = ((&next_v * second_scale)?.sqrt()? + eps)?;
            let direction = ((&next_m * first_scale)? / deviation)?;
            let decayed = (theta.as_tensor() * (1.0 - lr * weight_decay))?;
            theta.set(&(decayed - (direction * lr)?)?)?;
            m.set(&next_m)?;
            v.set(&next_v)?;
        }
        Ok(())
    }

    fn learning_rate(&self) -> f64 {
        self.config.lr
    }

    fn set_learning_rate(&mut self, lr: f64) {
        self.config.lr = lr;
    }
}

impl Resumable for AdamW {
    fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        let mut state = copies(&self.first_moments)?;
        state.extend(copies(&self.second_moments)?);
        state.insert(STEPS.to_owned(), Tensor::new(f64::from(self.steps), &Device::Cpu)?);
        Ok(state)
    }

    fn set_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        let steps = (STEPS.to_owned(), Var::zeros((), DType::F64, &Device::Cpu)?);
        let variables = self.first_moments.iter().chain(&self.second_moments);
        weights::assign(variables.chain([&steps]), state, "the optimizer's state")?;
        self.steps = steps.1.to_scalar::<f64>()? as u32;
        Ok(())
    }
}
