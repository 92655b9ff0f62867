//! Norms whose codec packs what they have normalised, which the layers behind them share.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_codec::{AxisLayout, Bytes, Op, PackNormOutput, Packed, PackedNorm};
use packlight_kernels::blank::reshape;
use packlight_kernels::channel_affine::channel_affine;
use packlight_record::KeptKind;

use crate::blank::pack_norm_output;
use crate::operation::{Gradients, output};
use crate::saved::Saved;
use crate::saved_input::SavedInput;
use crate::{Activation, Result, SavePoint};

/// What a norm makes of its input before it applies weight and bias.
pub(super) struct Normalised {
    /// Values of mean 0 and deviation 1 with the channels second: (N,C,...), or (tokens, n).
    pub(super) values: Tensor,
    /// What they were multiplied by. Beside them it is all that the gradient of the input needs.
    pub(super) inverse: Tensor,
}

/// A norm's parameter, outside candle's graph, in the type of the statistics of `x`.
pub(super) fn as_statistic(x: &Activation, parameter: &Tensor) -> candle_core::Result<Tensor> {
    parameter.detach().to_dtype(statistics_type(x))
}

/// The type that norms of `x` compute statistics in: its own, but f32 for bf16.
pub(super) fn statistics_type(x: &Activation) -> DType {
    match x.values().dtype() {
        DType::BF16 => DType::F32,
        own => own,
    }
}

/// The output of a norm that saves its normalised values. `backward` gets these in the shape of `x`,
/// the output's gradient, `inverse` and the weight; it returns the gradients of input, weight and
/// bias.
pub(super) fn save_normalised(
    name: &'static str,
    (x, axes): (&Activation, AxisLayout),
    Normalised { values, inverse }: Normalised,
    (weight, bias): (&Tensor, &Tensor),
    (packer, save_point): (&dyn PackNormOutput, &Arc<SavePoint>),
    backward: impl FnOnce(&Tensor, &Tensor, &Tensor, &Tensor) -> Result<[Tensor; 3]> + Send + 'static,
) -> Result<Activation> {
    let (weight_now, bias_now) = (as_statistic(x, weight)?, as_statistic(x, bias)?);
    let data = channel_affine(&values, &weight_now, &bias_now).map_err(|e| save_point.failed(e))?;
    let data = reshape(&data, x.dims())?;
    let codec = save_point.codec();
    let ((packed, bytes), key) = save_point.with_site(x.pass(), Op::Norm, axes, |site| {
        let packed = pack_norm_output(packer, &values, (&weight_now, &bias_now), site)?;
        Ok((packed, codec.share_key(site, x.dims())))
    })?;
    let shape = x.dims().to_vec();
    let packed = Saved::new(packed, x.pass(), save_point, KeptKind::Input, bytes, &values);
    let packed = Arc::new(packed);
    let out = Output { packed: packed.clone(), shape: shape.clone() };
    let shared = SavedInput::view(Box::new(out), key, save_point);
    let inverse = x.save_tensor(save_point, KeptKind::Statistics, inverse);
    let (held, by) = (shared.clone(), save_point.clone());
    let y = output(name, data, &[x], &[weight, bias], move |grad| {
        let normalised = packed.value().normalised().map_err(|e| by.codec_failed(e))?;
        let normalised = normalised.reshape(shape)?;
        let gradients = backward(&normalised, &grad, inverse.value(), &weight_now)?;
        drop(held);
        let [by_input, by_weight, by_bias] = gradients.map(Some);
        Ok(Gradients { inputs: vec![by_input], parameters: vec![by_weight, by_bias] })
    })?;
    y.share(&shared);
    Ok(y)
}

/// The output of the norm, from the copy that the norm has saved.
struct Output {
    packed: Arc<Saved<Box<dyn PackedNorm>>>,
    shape: Vec<usize>,
}

impl Packed for Output {
    fn bytes(&self) -> Bytes {
        self.packed.value().bytes()
    }

    fn unpack(&self) -> packlight_codec::Result<Tensor> {
        Ok(reshape(&self.packed.value().output()?, &self.shape)?)
    }
}
