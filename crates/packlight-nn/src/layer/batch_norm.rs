//! Batch normalisation.

use std::sync::Arc;

use candle_core::Var;
use packlight_autograd::{Activation, SavePoint, op};
use packlight_record::LayerKind;

use super::{Module, require_positive};
use crate::{Builder, Init, Result};

const EPSILON: f64 = 1e-5;
const MOMENTUM: f64 = 0.1;

/// Batch normalisation over all axes but the channels (Ioffe and Szegedy, ICML 2015), with
/// PyTorch's constants: epsilon 1e-5, and running statistics that move a tenth of the way to each
/// batch's mean and unbiased variance.
pub struct BatchNorm2d {
    weight: Var,
    bias: Var,
    running: op::RunningStatistics,
    save_point: Arc<SavePoint>,
}

impl BatchNorm2d {
    /// Makes a norm of `channels` channels that starts with weight 1, bias 0, running mean 0 and
    /// running variance 1.
    ///
    /// # Errors
    /// Returns an error if there are no channels or the name is taken.
    pub fn new(builder: &Builder, channels: usize) -> Result<Self> {
        let save_point = builder.save_point(LayerKind::Norm)?;
        require_positive(save_point.name(), &[("the number of channels", channels)])?;
        let shape = [channels];
        Ok(Self {
            weight: builder.parameter(&save_point, "weight", &shape, Init::Constant(1.0))?,
            bias: builder.parameter(&save_point, "bias", &shape, Init::Constant(0.0))?,
            running: op::RunningStatistics {
                mean: builder.buffer("running_mean", &shape, Init::Constant(0.0))?,
                variance: builder.buffer("running_var", &shape, Init::Constant(1.0))?,
                momentum: MOMENTUM,
            },
            save_point,
        })
    }
}

impl Module for BatchNorm2d {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        self.forward_owned(x.clone())
    }

    fn forward_owned(&self, x: Activation) -> Result<Activation> {
        Ok(op::batch_norm(x, &self.weight, &self.bias, &self.running, EPSILON, &self.save_point)?)
    }
}
