//! What convolutions and linear layers have in common: an input that only the weight's gradient
//! needs.

use std::sync::Arc;

use candle_core::Tensor;
use packlight_codec::{AxisLayout, Packed};

use crate::activation::KeptPacked;
use crate::link::Needs;
use crate::{Activation, Observer, Pass, Result, SavePoint, WeightGradient};

/// What a layer with a weight computes with.
pub(super) struct Operands {
    pub(super) input: Tensor,
    /// Outside candle's graph.
    pub(super) weight: Tensor,
    /// Weight and bias as parameters; those of a frozen layer are constants.
    pub(super) parameters: Vec<Tensor>,
}

impl Operands {
    pub(super) fn new(
        x: &Activation,
        weight: &Tensor,
        bias: Option<&Tensor>,
        layer: &SavePoint,
    ) -> Result<Self> {
        let codec = layer.codec();
        let input = codec.input(x.data()).map_err(|e| layer.codec_failed(e))?;
        let parameter =
            |tensor: &Tensor| if layer.is_frozen() { tensor.detach() } else { tensor.clone() };
        Ok(Self {
            input: input.unwrap_or_else(|| x.data().clone()),
            weight: used_weight(weight, layer)?,
            parameters: [weight].into_iter().chain(bias).map(parameter).collect(),
        })
    }

    pub(super) fn needs(&self, x: &Activation) -> Needs {
        Needs::of(&[x], &self.parameters.iter().collect::<Vec<_>>())
    }
}

/// What a layer's codec computes with in the place of its weight, outside candle's graph. The
/// backward pass asks again, since keeping it would take memory.
pub(super) fn used_weight(weight: &Tensor, layer: &SavePoint) -> Result<Tensor> {
    let used = layer.codec().weight(weight).map_err(|e| layer.codec_failed(e))?;
    Ok(used.unwrap_or_else(|| weight.clone()).detach())
}

/// The output gradient that a layer's codec works with.
pub(super) fn output_grad(
    exact: &Tensor,
    weight: &Tensor,
    layer: &SavePoint,
    pass: &Pass,
    axes: AxisLayout,
) -> Result<Tensor> {
    let codec = layer.codec();
    let replaced = layer.with_context(pass, axes, |context| {
        codec.observe_output_grad(exact, weight.dims(), context)?;
        codec.output_grad(exact, context)
    })?;
    Ok(replaced.unwrap_or_else(|| exact.clone()))
}

/// The kept input of a layer with a weight.
pub(super) struct KeptInput {
    packed: Arc<KeptPacked>,
    layer: Arc<SavePoint>,
    /// The exact input, and who is to see both gradients.
    probe: Option<(Tensor, Arc<dyn Observer>)>,
}

impl KeptInput {
    /// What was packed of `x`; `input` is what the layer computes with.
    pub(super) fn new(
        packed: Arc<KeptPacked>,
        x: &Activation,
        input: &Tensor,
        layer: &Arc<SavePoint>,
    ) -> Self {
        let observer = x.pass().observer().cloned();
        let probe = observer.map(|observer| (input.clone(), observer));
        Self { packed, layer: layer.clone(), probe }
    }

    /// The weight gradient from what was kept; an observer is shown the exact one too.
    pub(super) fn weight_grad(
        self,
        compressed: impl FnOnce(&dyn Packed) -> packlight_codec::Result<Tensor>,
        exact: impl FnOnce(&Tensor) -> packlight_kernels::Result<Tensor>,
    ) -> Result<Tensor> {
        let packed = self.packed.value().as_ref();
        let layer = &self.layer;
        let gradient = compressed(packed).map_err(|e| layer.codec_failed(e))?;
        if let Some((input, observer)) = &self.probe {
            let seen = WeightGradient {
                layer,
                input,
                restored: &packed.unpack().map_err(|e| layer.codec_failed(e))?,
                exact: &exact(input).map_err(|e| layer.failed(e))?,
                compressed: &gradient,
                kept: packed.bytes(),
            };
            observer.weight_gradient(&seen).map_err(|reason| crate::Error::Observer {
                layer: layer.name().to_string(),
                reason,
            })?;
        }
        Ok(gradient)
    }
}
