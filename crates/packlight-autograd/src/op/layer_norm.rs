//! Layer normalisation. Saves its input and two statistics per token, or its normalised values and
//! one statistic where its codec packs those.

use std::sync::Arc;

use candle_core::Tensor;
use packlight_codec::{AxisLayout, Op, PackNormOutput};
use packlight_kernels::blank::reshape;
use packlight_kernels::{layer_norm, linear};
use packlight_record::KeptKind;

use super::normalised::{Normalised, as_statistic, save_normalised};
use crate::operation::{Gradients, Needs, constant, output};
use crate::{Activation, Result, SavePoint};

/// Normalises the last axis of `x` (..., n), then applies weight and bias (n).
///
/// With a codec, the gradients of the input and the weight are those for the restored input and
/// the exact statistics, so that earlier layers see an approximation too.
///
/// # Errors
/// Returns an error if the shapes do not fit, the codec cannot pack the input, or a kernel is
/// missing.
pub fn layer_norm(
    x: &Activation,
    weight: &Tensor,
    bias: &Tensor,
    epsilon: f64,
    save_point: &Arc<SavePoint>,
) -> Result<Activation> {
    let weight = &save_point.parameter("weight", weight);
    let bias = &save_point.parameter("bias", bias);
    let needs = Needs::of(&[x], &[weight, bias]);
    let (weight_now, bias_now) = (as_statistic(x, weight)?, as_statistic(x, bias)?);
    // The gradient of the bias alone needs neither the input nor what it is normalised to.
    let saves = needs.inputs[0] || needs.parameters[0];
    let codec = save_point.codec();
    if let Some(packer) = codec.norm_output().filter(|_| saves) {
        return normalised(x, weight, bias, epsilon, (packer, save_point));
    }
    let normalised = layer_norm::forward(x.data(), &weight_now, &bias_now, epsilon)
        .map_err(|e| save_point.failed(e))?;
    if !needs.any() {
        return Ok(constant(normalised.output, x));
    }
    if !saves {
        let by = save_point.clone();
        return output("layer_norm", normalised.output, &[x], &[weight, bias], move |grad| {
            let by_bias = linear::bias_grad(&grad).map_err(|e| by.failed(e))?;
            Ok(Gradients { inputs: vec![None], parameters: vec![None, Some(by_bias)] })
        });
    }
    let input = x.clone().with_axes(AxisLayout::Tokens).save(save_point, Op::Norm)?;
    let mean = x.save_tensor(save_point, KeptKind::Statistics, normalised.mean);
    let inverse = x.save_tensor(save_point, KeptKind::Statistics, normalised.inverse);
    output("layer_norm", normalised.output, &[x], &[weight, bias], move |grad| {
        let (mean, inverse) = (mean.value(), inverse.value());
        let (by_input, by_weight, by_bias) =
            input.read(|x| layer_norm::backward(x, &grad, mean, inverse, &weight_now))?;
        Ok(Gradients {
            inputs: vec![Some(by_input)],
            parameters: vec![Some(by_weight), Some(by_bias)],
        })
    })
}

/// With the normalised values saved in place of the input.
fn normalised(
    x: &Activation,
    weight: &Tensor,
    bias: &Tensor,
    epsilon: f64,
    (packer, save_point): (&dyn PackNormOutput, &Arc<SavePoint>),
) -> Result<Activation> {
    let ones = as_statistic(x, weight)?.ones_like()?;
    let zeros = ones.zeros_like()?;
    let layer_norm::Output { output, inverse, .. } =
        layer_norm::forward(x.data(), &ones, &zeros, epsilon).map_err(|e| save_point.failed(e))?;
    let values = reshape(&output, &[inverse.elem_count(), weight.elem_count()])?;
    let by = save_point.clone();
    save_normalised(
        "layer_norm",
        (x, AxisLayout::Tokens),
        Normalised { values, inverse },
        (weight, bias),
        (packer, save_point),
        move |normalised, grad, inverse, weight| {
            let (zeros, ones) = (inverse.zeros_like()?, inverse.ones_like()?);
            let (by_normalised, by_weight, by_bias) =
                layer_norm::backward(normalised.into(), grad, &zeros, &ones, weight)
                    .map_err(|e| by.failed(e))?;
            let tokens = by_normalised.dims().len() - 1;
            let inverse = inverse.to_dtype(by_normalised.dtype())?;
            let inverse = inverse.reshape([&by_normalised.dims()[..tokens], &[1]].concat())?;
            Ok([by_normalised.broadcast_mul(&inverse)?, by_weight, by_bias])
        },
    )
}
