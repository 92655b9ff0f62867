//! Measurements that codecs ask for: how much each save point's packing disturbs the gradients.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::backprop::GradStore;
use candle_core::{DType, Tensor};
use packlight_autograd::{Ledger, Pass, SavePoint};
use packlight_codec::{Calibration, GradientMetric};
use packlight_record::KeptKind;

use crate::{Error, Parameters, Result, codec_state};

/// The numbers of bits between which a save point's tensor is tried.
const FEW: u8 = 1;
const MANY: u8 = 8;

/// Whether any codec asks to be calibrated before `step` of `total`.
pub(crate) fn is_due(parameters: &Parameters, step: u64, total: u64) -> bool {
    parameters.save_points().iter().any(|point| asked_by(point, step, total).is_some())
}

/// Takes the measurements that codecs ask for before `step` of `total`, and hands them to the
/// codecs once all are taken; see [`Calibration`].
///
/// A save point whose codec asks costs three passes of `loss`, or one for each level and one more; for the
/// importance, all together cost one. They change neither running statistics nor codec states.
///
/// # Errors
/// Returns an error if a pass fails, or a parameter that trains gets no gradient.
pub(crate) fn calibrate(
    parameters: &Parameters,
    pass: &Pass,
    loss: impl Fn(&Pass) -> Result<Tensor>,
    step: u64,
    total: u64,
) -> Result<()> {
    let pass = pass.clone().freeze_statistics();
    let important: Vec<Arc<SavePoint>> = parameters
        .save_points()
        .iter()
        .filter(|point| asked_by(point, step, total) == Some(Calibration::Importance))
        .cloned()
        .collect();
    let mut importances = importance(parameters, &important, &pass, &loss)?;
    let mut measurements = Vec::new();
    for point in parameters.save_points() {
        let Some(calibration) = asked_by(point, step, total) else { continue };
        let gradients = |metric, level, draw| {
            let trial = pass.clone().with_trial(point.name(), level, draw);
            gradients(parameters, &loss(&trial)?.backward()?, metric)
        };
        let measured = match calibration {
            Calibration::Sensitivity(metric) => {
                let coarse = |draw| gradients(metric, FEW, draw);
                let (first, second) = (coarse(1)?, coarse(2)?);
                let fine = gradients(metric, MANY, 1)?;
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
            Calibration::Importance => importances.remove(point.name()).unwrap_or_default(),
        };
        measurements.push((point, measured));
    }
    for (point, measured) in &measurements {
        if let Some(adaptive) = point.codec().adaptive() {
            adaptive.measured(measured, &mut point.codec_state())?;
        }
    }
    codec_state::allocate(&important)
}

/// The root mean square of the weight's gradient and the bytes of the input of each of these save points
/// that has both, by name; see [`Calibration::Importance`]. Where several save one tensor, it is the
/// input of the first.
fn importance(
    parameters: &Parameters,
    points: &[Arc<SavePoint>],
    pass: &Pass,
    loss: impl Fn(&Pass) -> Result<Tensor>,
) -> Result<HashMap<String, Vec<f64>>> {
    let mut found = HashMap::new();
    if points.is_empty() {
        return Ok(found);
    }
    let ledger = Ledger::new();
    let names = points.iter().map(|point| point.name());
    let pass = pass.clone().with_trials(names, Calibration::WHOLE).with_ledger(&ledger);
    let store = loss(&pass)?.backward()?;
    let saved: HashMap<_, _> = ledger
        .entries()
        .into_iter()
        .filter(|entry| entry.kind == KeptKind::Input)
        .map(|entry| (entry.layer, entry.raw))
        .collect();
    for (name, var, owner) in parameters.owned() {
        let is_weight = name.ends_with(".weight") && owner.trains(name);
        let asks = points.iter().any(|point| Arc::ptr_eq(point, owner));
        let (true, Some(&bytes)) = (is_weight && asks, saved.get(owner.name())) else { continue };
        let missing = || Error::NoGradient { parameter: name.to_owned() };
        let gradient = store.get(var).ok_or_else(missing)?.to_dtype(DType::F64)?;
        let square = gradient.sqr()?.mean_all()?.to_scalar::<f64>()?;
        found.insert(owner.name().to_owned(), vec![square.sqrt(), bytes as f64]);
    }
    Ok(found)
}

/// What the codec of a save point asks to be measured before `step` of `total`.
fn asked_by(point: &SavePoint, step: u64, total: u64) -> Option<Calibration> {
    point.codec().adaptive()?.measure(step, total)
}

/// The gradients of all parameters that train, or their norms, one after another.
fn gradients(
    parameters: &Parameters,
    store: &GradStore,
    metric: GradientMetric,
) -> Result<Vec<f64>> {
    let mut all = Vec::new();
    for (name, var) in parameters.trained() {
        let missing = || Error::NoGradient { parameter: name.to_owned() };
        let gradient = store.get(var).ok_or_else(missing)?;
        let gradient = gradient.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
        match metric {
            GradientMetric::Entries => all.extend(gradient),
            GradientMetric::Norms => all.push(gradient.iter().map(|x| x * x).sum::<f64>().sqrt()),
        }
    }
    Ok(all)
}

fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}
