//! Batch normalisation. Keeps its input and two statistics per channel.

use std::sync::Arc;

use candle_core::{Tensor, Var};
use packlight_codec::InputForm;
use packlight_kernels::batch_norm;
use packlight_record::KeptKind;

use crate::gradient::Gradient;
use crate::link::{Gradients, Needs, constant, output};
use crate::{Activation, Layer, Result};

/// Running mean and variance (C), which training updates and evaluation uses.
#[derive(Debug, Clone)]
pub struct RunningStatistics {
    /// Running mean.
    pub mean: Var,
    /// Running variance, of the unbiased batch variances.
    pub variance: Var,
    /// Share of a new batch's statistics.
    pub momentum: f64,
}

impl RunningStatistics {
    /// Mixes in the statistics of a batch with `count` values a channel, as PyTorch does.
    fn update(&self, mean: &Tensor, variance: &Tensor, count: usize) -> Result<()> {
        let unbiased = (variance * (count as f64 / (count as f64 - 1.0).max(1.0)))?;
        for (running, batch) in [(&self.mean, mean), (&self.variance, &unbiased)] {
            let mixed =
                ((running.as_tensor() * (1.0 - self.momentum))? + (batch * self.momentum)?)?;
            running.set(&mixed)?;
        }
        Ok(())
    }
}

/// Normalises each channel of `x` (N,C,...), then applies weight and bias (C).
///
/// With a codec, the gradients of the input and the weight are those for the restored input and
/// the exact statistics, so that earlier layers see an approximation too.
///
/// # Errors
/// If the shapes do not fit, the codec cannot pack the input, or a kernel is missing.
pub fn batch_norm(
    x: &Activation,
    weight: &Tensor,
    bias: &Tensor,
    running: &RunningStatistics,
    epsilon: f64,
    layer: &Arc<Layer>,
) -> Result<Activation> {
    let inverse = |variance: &Tensor| (variance + epsilon)?.sqrt()?.recip();
    let normalise = |mean: &Tensor, inverse: &Tensor| {
        batch_norm::normalise(x.data(), mean, inverse, weight, bias).map_err(|e| layer.failed(e))
    };
    if !x.pass().is_training() {
        let data = normalise(&running.mean, &inverse(&running.variance)?)?;
        return Ok(constant(data, x));
    }
    let (mean, variance) = batch_norm::statistics(x.data()).map_err(|e| layer.failed(e))?;
    if x.pass().updates_statistics() {
        let count = x.data().elem_count() / mean.elem_count().max(1);
        running.update(&mean, &variance, count)?;
    }
    let inverse = inverse(&variance)?;
    let data = normalise(&mean, &inverse)?;
    let needs = Needs::of(&[x], &[weight, bias]);
    if !needs.any() {
        return Ok(constant(data, x));
    }
    let form = if x.dims().len() == 4 { InputForm::Images } else { InputForm::Tokens };
    let input = x.keep(layer, form)?;
    let mean = x.keep_tensor(layer, KeptKind::Statistics, mean);
    let inverse = x.keep_tensor(layer, KeptKind::Statistics, inverse);
    let (detached, layer) = (weight.detach(), layer.clone());
    output("batch_norm", data, &[x], &[weight, bias], move |grad| {
        let restored = input.value().unpack().map_err(|e| layer.codec_failed(e))?;
        let (mean, inverse) = (mean.value(), inverse.value());
        let (by_input, by_weight, by_bias) =
            batch_norm::backward(&restored, &grad.tensor, mean, inverse, &detached)
                .map_err(|e| layer.failed(e))?;
        Ok(Gradients {
            inputs: vec![Some(Gradient::own(by_input))],
            parameters: vec![Some(by_weight), Some(by_bias)],
        })
    })
}
