//! Layer normalisation. Keeps its input and two statistics per token, or with a codec that packs cells
//! its normalised values and one.

use std::sync::Arc;

use candle_core::Tensor;
use packlight_codec::{AxisLayout, Bytes, Packed};
use packlight_kernels::channel_affine::channel_affine;
use packlight_kernels::layer_norm;
use packlight_record::KeptKind;

use crate::link::{Gradients, Needs, constant, output};
use crate::{Activation, Result, SavePoint};

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
    layer: &Arc<SavePoint>,
) -> Result<Activation> {
    let (weight, bias) = match layer.is_frozen() {
        true => (&weight.detach(), &bias.detach()),
        false => (weight, bias),
    };
    let needs = Needs::of(&[x], &[weight, bias]);
    if needs.any() && layer.codec().packs_cells() {
        return as_cell(x, weight, bias, epsilon, layer);
    }
    let normalised =
        layer_norm::forward(x.data(), weight, bias, epsilon).map_err(|e| layer.failed(e))?;
    if !needs.any() {
        return Ok(constant(normalised.output, x));
    }
    let packed = x.keep(layer, AxisLayout::Tokens)?;
    let mean = x.keep_tensor(layer, KeptKind::Statistics, normalised.mean);
    let inverse = x.keep_tensor(layer, KeptKind::Statistics, normalised.inverse);
    let (weight_now, by) = (weight.detach(), layer.clone());
    output("layer_norm", normalised.output, &[x], &[weight, bias], move |grad| {
        let restored = packed.value().unpack().map_err(|e| by.codec_failed(e))?;
        let (mean, inverse) = (mean.value(), inverse.value());
        let (by_input, by_weight, by_bias) =
            layer_norm::backward(&restored, &grad, mean, inverse, &weight_now)
                .map_err(|e| by.failed(e))?;
        Ok(Gradients {
            inputs: vec![Some(by_input)],
            parameters: vec![Some(by_weight), Some(by_bias)],
        })
    })
}

/// With the normalised values in the place of the input, which the layers behind share.
///
/// They have mean 0 and deviation 1, so that the input's own deviation is all that the gradient needs
/// beside them.
fn as_cell(
    x: &Activation,
    weight: &Tensor,
    bias: &Tensor,
    epsilon: f64,
    layer: &Arc<SavePoint>,
) -> Result<Activation> {
    let (ones, zeros) = (weight.detach().ones_like()?, weight.detach().zeros_like()?);
    let layer_norm::Output { output: normalised, inverse, .. } =
        layer_norm::forward(x.data(), &ones, &zeros, epsilon).map_err(|e| layer.failed(e))?;
    let (weight_now, bias_now) = (weight.detach(), bias.detach());
    let tokens = normalised.reshape(((), weight_now.elem_count()))?;
    let data = channel_affine(&tokens, &weight_now, &bias_now).map_err(|e| layer.failed(e))?;
    let data = data.reshape(x.dims())?;
    let packed = layer.with_context(x.pass(), AxisLayout::Tokens, |context| {
        layer.codec().pack_cell(&tokens, &weight_now, &bias_now, context)
    })?;
    let packed: Box<dyn Packed> = Box::new(OfTokens { packed, shape: x.dims().to_vec() });
    let packed = constant(data.clone(), x).offer(packed, layer, AxisLayout::Tokens);
    let inverse = x.keep_tensor(layer, KeptKind::Statistics, inverse);
    let (shared, by) = (packed.clone(), layer.clone());
    let y = output("layer_norm", data, &[x], &[weight, bias], move |grad| {
        let normalised = packed.value().normalised().map_err(|e| by.codec_failed(e))?;
        let inverse = inverse.value();
        let (zeros, ones) = (inverse.zeros_like()?, inverse.ones_like()?);
        let (by_normalised, by_weight, by_bias) =
            layer_norm::backward(&normalised, &grad, &zeros, &ones, &weight_now)
                .map_err(|e| by.failed(e))?;
        let tokens = by_normalised.dims().len() - 1;
        let inverse = inverse.reshape([&by_normalised.dims()[..tokens], &[1]].concat())?;
        Ok(Gradients {
            inputs: vec![Some(by_normalised.broadcast_mul(&inverse)?)],
            parameters: vec![Some(by_weight), Some(by_bias)],
        })
    })?;
    y.share(&shared, layer, AxisLayout::Tokens);
    Ok(y)
}

/// Tokens (..., n) of which a matrix (tokens, n) was packed: a norm's values as cells have them.
struct OfTokens {
    packed: Box<dyn Packed>,
    shape: Vec<usize>,
}

impl Packed for OfTokens {
    fn bytes(&self) -> Bytes {
        self.packed.bytes()
    }

    fn unpack(&self) -> packlight_codec::Result<Tensor> {
        Ok(self.packed.unpack()?.reshape(&self.shape[..])?)
    }

    fn normalised(&self) -> packlight_codec::Result<Tensor> {
        Ok(self.packed.normalised()?.reshape(&self.shape[..])?)
    }
}
