//! Layer normalisation. Keeps its input and two statistics per token.

use std::sync::Arc;

use candle_core::Tensor;
use packlight_codec::{Bytes, InputForm, Packed};
use packlight_kernels::layer_norm;
use packlight_record::KeptKind;

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
    let (weight_now, bias_now) = (weight.detach(), bias.detach());
    let codec = layer.codec();
    let cell = codec.packs_cells();
    let packed = match cell {
        true => {
            let output = constant(normalised.output.clone(), x);
            let features = output.data().flatten_to(x.dims().len().saturating_sub(2))?;
            let packed = layer.with_context(x.pass(), InputForm::Tokens, |context| {
                codec.pack_cell(&features, &weight_now, &bias_now, context)
            })?;
            let shape = x.dims().to_vec();
            output.offer(Box::new(OfTokens { packed, shape }), layer, InputForm::Tokens)
        }
        false => x.keep(layer, InputForm::Tokens)?,
    };
    let mean = x.keep_tensor(layer, KeptKind::Statistics, normalised.mean);
    let inverse = x.keep_tensor(layer, KeptKind::Statistics, normalised.inverse);
    let (shared, by) = (packed.clone(), layer.clone());
    let y = output("layer_norm", normalised.output, &[x], &[weight, bias], move |grad| {
        let (mean, inverse) = (mean.value(), inverse.value());
        let unpacked = packed.value().unpack().map_err(|e| by.codec_failed(e))?;
        let restored = match cell {
            true => input_of(&unpacked, mean, inverse, &weight_now, &bias_now)?,
            false => unpacked,
        };
        let (by_input, by_weight, by_bias) =
            layer_norm::backward(&restored, &grad, mean, inverse, &weight_now)
                .map_err(|e| by.failed(e))?;
        Ok(Gradients {
            inputs: vec![Some(by_input)],
            parameters: vec![Some(by_weight), Some(by_bias)],
        })
    })?;
    if cell {
        y.share(&shared, layer, InputForm::Tokens);
    }
    Ok(y)
}

/// Tokens (..., n) of which a matrix (tokens, n) was packed: a norm's output as cells have it.
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
}

/// The input that was normalised to `output`; the token's mean where the weight is 0.
fn input_of(
    output: &Tensor,
    mean: &Tensor,
    inverse: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
) -> Result<Tensor> {
    let back = weight.ne(0.0)?.where_cond(&weight.recip()?, &weight.zeros_like()?)?;
    let normal = output.broadcast_sub(bias)?.broadcast_mul(&back)?;
    let leading = &output.dims()[..output.rank() - 1];
    let tokens = |statistic: &Tensor| statistic.reshape([leading, &[1]].concat());
    Ok(normal.broadcast_div(&tokens(inverse)?)?.broadcast_add(&tokens(mean)?)?)
}
