//! Stochastic depth. Saves nothing: which samples it drops is drawn again from the pass's seed and
//! step.

use std::sync::Arc;

use candle_core::Tensor;
use packlight_kernels::plane_scale;
use packlight_kernels::rng::{Key, Purpose};

use crate::operation::{Gradients, Needs, constant, output};
use crate::{Activation, Error, Result, SavePoint};

/// Zeroes each sample of `x` (N,...) with `probability` and divides the others by
/// `1 - probability`, in training only (Huang et al., "Deep networks with stochastic depth", ECCV
/// 2016). Added to a shortcut, a sample that is dropped has skipped the block.
///
/// # Errors
/// Returns an error if the probability is not in [0, 1), or a kernel is missing.
pub fn stochastic_depth(
    x: &Activation,
    probability: f64,
    save_point: &Arc<SavePoint>,
) -> Result<Activation> {
    if !x.pass().is_training() || probability == 0.0 {
        return Ok(x.clone());
    }
    if !(0.0..1.0).contains(&probability) {
        let reason = format!("expected a probability in [0, 1), found {probability}");
        return Err(Error::Shape { op: "stochastic_depth", reason });
    }
    let key = x.pass().key(Purpose::Dropout, save_point.name());
    let factors = factors_of(x.data(), probability, key)?;
    let data = plane_scale::scale(x.data(), &factors).map_err(|e| save_point.failed(e))?;
    if !Needs::of(&[x], &[]).any() {
        return Ok(constant(data, x));
    }
    let save_point = save_point.clone();
    output("stochastic_depth", data, &[x], &[], move |grad| {
        let factors = factors_of(&grad, probability, key)?;
        let grad = plane_scale::scale(&grad, &factors).map_err(|e| save_point.failed(e))?;
        Ok(Gradients::input(grad))
    })
}

/// The factor of each sample.
fn factors_of(x: &Tensor, probability: f64, key: Key) -> Result<Tensor> {
    let mut stream = key.stream();
    let keep = 1.0 / (1.0 - probability);
    let samples = x.dims().first().copied().unwrap_or(0);
    let factors: Vec<f64> =
        (0..samples).map(|_| if stream.uniform() < probability { 0.0 } else { keep }).collect();
    Ok(Tensor::from_vec(factors, samples, x.device())?.to_dtype(x.dtype())?)
}
