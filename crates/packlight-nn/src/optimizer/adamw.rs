//! AdamW.

use std::collections::{BTreeMap, HashMap};

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::{Optimizer, ParamsAdamW};

use super::{Resumable, UpdateEach, UpdateOne, copies, named_vars, numbered_vars, zeros_beside};
use packlight_kernels::optimizer as kernel;

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

impl UpdateEach for AdamW {
    fn begin_step(&mut self) -> UpdateOne {
        self.steps += 1;
        let ParamsAdamW { lr, beta1, beta2, eps, weight_decay } = self.config;
        let rule = kernel::AdamW {
            learning_rate: lr,
            betas: (beta1, beta2),
            epsilon: eps,
            weight_decay,
            step: self.steps,
        };
        let moments = self.first_moments.iter().zip(&self.second_moments);
        let moments: HashMap<_, _> = self
            .vars
            .iter()
            .zip(moments)
            .map(|((_, var), ((_, m), (_, v)))| (var.id(), (m.clone(), v.clone())))
            .collect();
        Box::new(move |var, gradient| {
            let Some((m, v)) = moments.get(&var.id()) else { return Ok(()) };
            rule.step(var, (m, v), gradient).map_err(candle_core::Error::wrap)
        })
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
