//! Batch normalisation. Saves its input and two statistics per channel, or its normalised values and
//! one statistic where its codec packs those.

use std::sync::Arc;

use candle_core::{DType, Tensor, Var};
use packlight_codec::Op;
use packlight_kernels::{batch_norm, conv2d};
use packlight_record::KeptKind;

use super::normalised::{Normalised, as_statistic, save_normalised, statistics_type};
use crate::gradient::Gradient;
use crate::operation::{Gradients, Needs, constant, output, output_owning};
use crate::{Activation, Error, Result, SavePoint};

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
    /// Mixes in the statistics of a batch with `count` > 1 values a channel, as PyTorch does.
    fn update(
        &self,
        mean: &Tensor,
        variance: &Tensor,
        count: usize,
    ) -> packlight_kernels::Result<()> {
        let unbiased = (variance * (count as f64 / (count as f64 - 1.0)))?;
        let narrow = unbiased.to_dtype(self.variance.dtype())?;
        let finite = |variances: &Tensor| -> candle_core::Result<Vec<bool>> {
            let variances = variances.to_dtype(DType::F64)?.to_vec1::<f64>()?;
            Ok(variances.into_iter().map(f64::is_finite).collect())
        };
        if finite(&unbiased)? != finite(&narrow)? {
            let what = "the variance of a channel, in the type of the running one,";
            return Err(packlight_kernels::Error::NotFinite { kernel: "batch_norm", what });
        }
        let mean = &mean.to_dtype(self.mean.dtype())?;
        for (running, batch) in [(&self.mean, mean), (&self.variance, &narrow)] {
            let mixed =
                ((running.as_tensor() * (1.0 - self.momentum))? + (batch * self.momentum)?)?;
            running.set(&mixed)?;
        }
        Ok(())
    }
}

/// Normalises each channel of `x` (N,C,...), then applies weight and bias (C); written over `x` where that is
/// given by value and of no more use.
///
/// With a codec, the gradients of the input and the weight are those for the restored input and
/// the exact statistics, so that earlier layers see an approximation too. A layer whose weight is frozen
/// normalises with its running statistics and leaves them as they are; its bias may train all the same.
///
/// # Errors
/// Returns an error if the shapes do not fit, in training there is one value a channel, which has
/// no variance, the codec cannot pack the input, or a kernel is missing.
pub fn batch_norm(
    x: impl Into<Activation>,
    weight: &Tensor,
    bias: &Tensor,
    running: &RunningStatistics,
    epsilon: f64,
    save_point: &Arc<SavePoint>,
) -> Result<Activation> {
    let x = &x.into();
    let inverse = |variance: &Tensor| {
        let wide = (variance.to_dtype(DType::F64)? + epsilon)?.sqrt()?.recip()?;
        wide.to_dtype(statistics_type(x))
    };
    let (weight_now, bias_now) = (as_statistic(x, weight)?, as_statistic(x, bias)?);
    let normalise = |mean: &Tensor, inverse: &Tensor| {
        let (weight, bias) = (&weight_now, &bias_now);
        match x.writable() {
            Some(data) => batch_norm::normalise_in_place(data, mean, inverse, weight, bias)
                .map(|()| data.clone()),
            None => batch_norm::normalise(x.values(), mean, inverse, weight, bias),
        }
        .map_err(|e| save_point.failed(e))
    };
    if !x.pass().is_training() {
        let mean = as_statistic(x, &running.mean)?;
        let data = normalise(&mean, &inverse(&running.variance)?)?;
        return Ok(constant(data, x).of_its_own());
    }
    if save_point.is_frozen() {
        let inverse = inverse(&running.variance)?.detach();
        let data = normalise(&as_statistic(x, &running.mean)?, &inverse)?;
        let bias = save_point.parameter("bias", bias);
        return frozen(x, data, (&weight_now * inverse)?, &bias, save_point);
    }
    let (mean, variance) = batch_norm::statistics(x.values()).map_err(|e| save_point.failed(e))?;
    let count = x.values().elem_count() / mean.elem_count().max(1);
    if count == 1 {
        return Err(one_value(x, save_point));
    }
    if x.pass().updates_statistics() {
        running.update(&mean, &variance, count).map_err(|e| save_point.failed(e))?;
    }
    let inverse = inverse(&variance)?;
    let needs = Needs::of(&[x], &[weight, bias]);
    if !needs.any() {
        return Ok(constant(normalise(&mean, &inverse)?, x).of_its_own());
    }
    let codec = save_point.codec();
    if let Some(packer) = codec.norm_output() {
        let (ones, zeros) = (inverse.ones_like()?, inverse.zeros_like()?);
        let values = batch_norm::normalise(x.data(), &mean, &inverse, &ones, &zeros)
            .map_err(|e| save_point.failed(e))?;
        let by = save_point.clone();
        return save_normalised(
            "batch_norm",
            (x, x.axes()),
            Normalised { values, inverse },
            (weight, bias),
            (packer, save_point),
            move |normalised, grad, inverse, weight| {
                let (ones, zeros) = (inverse.ones_like()?, inverse.zeros_like()?);
                let scale = (weight * inverse)?;
                let gradients = batch_norm::backward(normalised, grad, &zeros, &ones, &scale);
                gradients.map(Into::into).map_err(|e| by.failed(e))
            },
        );
    }
    let input = x.save_and_yield(save_point, Op::Norm)?;
    let data = normalise(&mean, &inverse)?; // afterwards, since it may write over what was saved
    let mean = x.save_tensor(save_point, KeptKind::Statistics, mean);
    let inverse = x.save_tensor(save_point, KeptKind::Statistics, inverse);
    let by = save_point.clone();
    let y = output_owning("batch_norm", data, &[x], &[weight, bias], move |grad| {
        let restored = input.unpack()?;
        let (mean, inverse) = (mean.value(), inverse.value());
        let backward = match grad {
            Gradient::Owned(_) => batch_norm::backward_in_place,
            Gradient::Shared(_) => batch_norm::backward,
        };
        let (by_input, by_weight, by_bias) =
            backward(&restored, grad.tensor(), mean, inverse, &weight_now)
                .map_err(|e| by.failed(e))?;
        Ok(Gradients {
            inputs: vec![Some(by_input)],
            parameters: vec![Some(by_weight), Some(by_bias)],
        })
    })?;
    Ok(y.of_its_own())
}

/// Refuses a batch whose normalised values would all be 0, whatever the input.
fn one_value(x: &Activation, save_point: &SavePoint) -> Error {
    let (name, shape) = (save_point.name(), x.dims());
    Error::Shape {
        op: "batch_norm",
        reason: format!(
            "layer `{name}`: more than one value a channel expected in training, the input has the \
             shape {shape:?}; take a larger batch or larger images"
        ),
    }
}

/// With running statistics and a weight that stay as they are, all that the gradients of the input and
/// the bias need is one factor a channel, and that of the bias not even this.
fn frozen(
    x: &Activation,
    data: Tensor,
    factor: Tensor,
    bias: &Tensor,
    save_point: &Arc<SavePoint>,
) -> Result<Activation> {
    let needs = Needs::of(&[x], &[bias]);
    if !needs.any() {
        return Ok(constant(data, x));
    }
    let saved = |factor| x.save_tensor(save_point, KeptKind::Statistics, factor);
    let factor = needs.inputs[0].then(|| saved(factor));
    let save_point = save_point.clone();
    output("batch_norm", data, &[x], &[bias], move |grad| {
        let by_bias = needs.parameters[0].then(|| sum_of_channels(&grad)).transpose();
        let by_input = factor.map(|factor| {
            let factor = factor.value();
            let (zeros, ones) = (factor.zeros_like()?, factor.ones_like()?);
            batch_norm::normalise(&grad, &zeros, factor, &ones, &zeros)
        });
        let fail = |e| save_point.failed(e);
        Ok(Gradients {
            inputs: vec![by_input.transpose().map_err(fail)?],
            parameters: vec![by_bias.map_err(fail)?],
        })
    })
}

/// The sum (C) over all axes but the channels of (N,C,...).
fn sum_of_channels(grad: &Tensor) -> packlight_kernels::Result<Tensor> {
    let (samples, channels) = (grad.dim(0)?, grad.dim(1)?);
    let pixels = grad.elem_count() / (samples * channels).max(1);
    conv2d::bias_grad(&grad.reshape((samples, channels, pixels, 1))?)
}
