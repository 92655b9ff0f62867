//! Layer normalisation. Keeps its input and two statistics per token.

use std::sync::Arc;

use candle_core::Tensor;
use packlight_codec::InputForm;
use packlight_kernels::layer_norm;
use packlight_record::KeptKind;

use crate::gradient::Gradient;
use crate::link::{Gradients, Needs, constant, output};
use crate::{Activation, Layer, Result};

/// Normalises the last axis of `x` (..., n), then applies weight and bias (n).
///
/// With a codec, the gradients of the input and the weight are those for the restored input and
/// the exact statistics, so that earlier layers see an approximation too.
///
/// # Errors
/// If the shapes do not fit, the codec cannot pack the input, or a kernel is missing.
pub fn layer_norm(
    x: &Activation,
    weight: &Tensor,
    bias: &Tensor,
    epsilon: f64,
    layer: &Arc<Layer>,
) -> Result<Activation> {
    let normalised =
        layer_norm::forward(x.data(), weight, bias, epsilon).map_err(|e| layer.failed(e))?;
    let (weight, bias) = match layer.is_frozen() {
        true => (&weight.detach(), &bias.detach()),
        false => (weight, bias),
    };
    let needs = Needs::of(&[x], &[weight, bias]);
    if !needs.any() {
        return Ok(constant(normalised.output, x));
    }
    let input = x.keep(layer, InputForm::Tokens)?;
    let mean = x.keep_tensor(layer, KeptKind::Statistics, normalised.mean);
    let inverse = x.keep_tensor(layer, KeptKind::Statistics, normalised.inverse);
    let (detached, layer) = (weight.detach(), layer.clone());
    output("layer_norm", normalised.output, &[x], &[weight, bias], move |grad| {
        let restored = input.value().unpack().map_err(|e| layer.codec_failed(e))?;
        let (by_input, by_weight, by_bias) =
            layer_norm::backward(&restored, &grad.tensor, mean.value(), inverse.value(), &detached)
                .map_err(|e| layer.failed(e))?;
        Ok(Gradients {
            inputs: vec![Some(Gradient::own(by_input))],
            parameters: vec![Some(by_weight), Some(by_bias)],
        })
    })
}
