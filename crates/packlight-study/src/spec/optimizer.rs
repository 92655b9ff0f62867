//! Makes the optimizer that a study describes.

use candle_nn::ParamsAdamW;
use packlight_nn::Parameters;
use packlight_nn::optimizer::{AdamW, Resumable, Sgd, SgdConfig};
use packlight_spec::OptimizerSpec;

use crate::Result;

/// Makes the optimizer that `spec` describes for `parameters`, in its initial state.
pub(crate) fn build_optimizer(
    spec: &OptimizerSpec,
    parameters: &Parameters,
) -> Result<Box<dyn Resumable>> {
    Ok(match *spec {
        OptimizerSpec::Sgd { learning_rate, momentum, weight_decay, nesterov } => {
            let config = SgdConfig { lr: learning_rate, momentum, weight_decay, nesterov };
            Box::new(Sgd::for_parameters(parameters, config)?)
        }
        OptimizerSpec::Adamw { learning_rate, beta1, beta2, epsilon, weight_decay } => {
            let config =
                ParamsAdamW { lr: learning_rate, beta1, beta2, eps: epsilon, weight_decay };
            Box::new(AdamW::for_parameters(parameters, config)?)
        }
    })
}
