//! How much each layer's packing disturbs the gradients of all parameters.

use candle_core::Tensor;
use candle_core::backprop::GradStore;
use packlight_autograd::Pass;
use packlight_codec::{Calibration, GradientMetric};
use packlight_nn::Parameters;

use crate::metric::values;
use crate::{Error, Result};

/// Few and many bits, between which a layer's tensor is tried.
const FEW: u8 = 1;
const MANY: u8 = 8;

/// Measures what each layer's codec asks for at `step` of `steps` ([`Calibration`]), and tells the
/// codecs once all is measured.
///
/// Each layer takes three passes of `loss`, or one for each level and one, which leave running
/// statistics and what codecs remember as they are. Answers whether any layer asked.
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
    let mut found = Vec::new();
    for layer in parameters.save_points() {
        let codec = layer.codec();
        let adaptive = codec.adaptive();
        let Some(calibration) = adaptive.and_then(|codec| codec.measure(step, steps)) else {
            continue;
        };
        let gradients = |disturbance, level, draw| {
            let trial = pass.clone().with_trial(layer.name(), level, draw);
            gradient(parameters, &loss(&trial)?.backward()?, disturbance)
        };
        let measured = match calibration {
            Calibration::Sensitivity(disturbance) => {
                let coarse = |draw| gradients(disturbance, FEW, draw);
                let (first, second) = (coarse(1)?, coarse(2)?);
                let fine = gradients(disturbance, MANY, 1)?;
                let sensitivity = squared_distance(&first, &second)
                    .max(2.0 * squared_distance(&first, &fine))
                    .max(2.0 * squared_distance(&second, &fine));
                vec![sensitivity]
            }
            Calibration::Distances(levels) => {
                let at = |level| gradients(GradientMetric::Entries, level, 1);
                let whole = at(0)?;
                let distance = |&level: &u8| Ok(squared_distance(&at(level)?, &whole).sqrt());
                levels.iter().map(distance).collect::<Result<_>>()?
            }
        };
        found.push((layer, measured));
    }
    for (layer, measured) in &found {
        if let Some(adaptive) = layer.codec().adaptive() {
            adaptive.measured(measured, &mut layer.codec_state())?;
        }
    }
    Ok(!found.is_empty())
}

/// The gradients of all trained parameters, or their norms, one after another.
fn gradient(
    parameters: &Parameters,
    store: &GradStore,
    disturbance: GradientMetric,
) -> Result<Vec<f64>> {
    let mut all = Vec::new();
    for (name, var) in parameters.trained() {
        let which = "calibrating";
        let missing = || Error::NoGradient { parameter: name.to_string(), which };
        let gradient = values(store.get(var).ok_or_else(missing)?)?;
        match disturbance {
            GradientMetric::Entries => all.extend(gradient),
            GradientMetric::Norms => all.push(gradient.iter().map(|x| x * x).sum::<f64>().sqrt()),
        }
    }
    Ok(all)
}

fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}
