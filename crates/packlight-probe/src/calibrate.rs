//! How much each layer's packing disturbs the gradients of all parameters.

use candle_core::Tensor;
use candle_core::backprop::GradStore;
use packlight_autograd::Pass;
use packlight_codec::Disturbance;
use packlight_nn::Parameters;

use crate::metric::values;
use crate::{Error, Result};

/// Few and many bits, between which a layer's tensor is tried.
const FEW: u8 = 1;
const MANY: u8 = 8;

/// Measures the sensitivity of each layer whose codec asks for it at `step` of `steps`, and tells
/// the codec.
///
/// With g0 and g1 the gradients of all parameters, or their norms, with this layer's tensor in one
/// bit, drawn twice, and g2 the same in eight, all else being equal, the sensitivity is the largest
/// of |g0 - g1|^2, 2 |g0 - g2|^2 and 2 |g1 - g2|^2 (Liu et al., "GACT: activation compressed training
/// for generic network architectures", ICML 2022; with norms, Woo et al., "ALAM", ICLR 2024). Each
/// layer takes three passes of `loss`, which leave running statistics and what codecs remember as
/// they are. Answers whether any layer asked.
///
/// # Errors
/// If a pass fails, or a parameter of a layer that trains gets no gradient.
pub fn calibrate(
    parameters: &Parameters,
    pass: &Pass,
    loss: impl Fn(&Pass) -> packlight_nn::Result<Tensor>,
    step: u64,
    steps: u64,
) -> Result<bool> {
    let pass = pass.clone().freeze_statistics();
    let mut any = false;
    for layer in parameters.layers() {
        let codec = layer.codec();
        let Some(disturbance) = codec.calibrates(step, steps) else { continue };
        let gradients = |bits, draw| {
            let trial = pass.clone().with_trial(layer.name(), bits, draw);
            gradient(parameters, &loss(&trial)?.backward()?, disturbance)
        };
        let (first, second) = (gradients(FEW, 1)?, gradients(FEW, 2)?);
        let fine = gradients(MANY, 1)?;
        let sensitivity = squared_distance(&first, &second)
            .max(2.0 * squared_distance(&first, &fine))
            .max(2.0 * squared_distance(&second, &fine));
        codec.calibrated(sensitivity, &mut layer.memory())?;
        any = true;
    }
    Ok(any)
}

/// The gradients of all trained parameters, or their norms, one after another.
fn gradient(
    parameters: &Parameters,
    store: &GradStore,
    disturbance: Disturbance,
) -> Result<Vec<f64>> {
    let mut all = Vec::new();
    for (name, var) in parameters.trained() {
        let which = "calibrating";
        let missing = || Error::NoGradient { parameter: name.to_string(), which };
        let gradient = values(store.get(var).ok_or_else(missing)?)?;
        match disturbance {
            Disturbance::Entries => all.extend(gradient),
            Disturbance::Norms => all.push(gradient.iter().map(|x| x * x).sum::<f64>().sqrt()),
        }
    }
    Ok(all)
}

fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}
