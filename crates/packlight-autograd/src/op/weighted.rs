//! What convolutions and linear layers have in common: an input that only the weight's gradient
//! needs.

use std::sync::Arc;

use candle_core::Tensor;
use packlight_codec::{InputForm, Packed};

use crate::kept::Kept;
use crate::{Activation, Layer, Observer, Result, WeightGradient};

/// The kept input of a layer with a weight.
pub(super) struct KeptInput {
    packed: Arc<Kept<Box<dyn Packed>>>,
    layer: Arc<Layer>,
    /// The exact input, and who is to see both gradients.
    probe: Option<(Tensor, Arc<dyn Observer>)>,
}

impl KeptInput {
    pub(super) fn new(input: &Activation, layer: &Arc<Layer>, form: InputForm) -> Result<Self> {
        let observer = input.pass().observer().cloned();
        Ok(Self {
            packed: input.keep(layer, form)?,
            layer: layer.clone(),
            probe: observer.map(|observer| (input.data().clone(), observer)),
        })
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
