//! ReLU. Keeps one bit per element, or nothing where a packed copy of its input tells the sign.

use std::sync::Arc;

use candle_core::Tensor;
use packlight_codec::{AxisLayout, Bytes, Packed};
use packlight_kernels::relu;
use packlight_record::KeptKind;

use crate::activation::KeptPacked;
use crate::link::{Gradients, Needs, constant, output};
use crate::{Activation, Result, SavePoint};

/// `max(x, 0)` for each element.
///
/// Behind a norm whose codec packs cells, a ReLU with the same codec keeps nothing: its mask is the
/// sign of the norm's packed output, and what the next layer keeps is that output, rectified.
///
/// # Errors
/// If a kernel is missing.
pub fn relu(x: &Activation, layer: &Arc<SavePoint>) -> Result<Activation> {
    if !Needs::of(&[x], &[]).any() {
        return Ok(constant(relu::forward_only(x.data()).map_err(|e| layer.failed(e))?, x));
    }
    let axes = x.axes();
    if layer.codec().packs_cells()
        && let Some(packed) = x.kept_alike(layer, axes)
    {
        return in_cell(x, packed, axes, layer);
    }
    let (data, mask) = relu::forward(x.data()).map_err(|e| layer.failed(e))?;
    let mask = x.keep_tensor(layer, KeptKind::Mask, mask);
    let layer = layer.clone();
    output("relu", data, &[x], &[], move |grad| {
        let grad = relu::backward(&grad, mask.value()).map_err(|e| layer.failed(e))?;
        Ok(Gradients::input(grad))
    })
}

fn in_cell(
    x: &Activation,
    packed: Arc<KeptPacked>,
    axes: AxisLayout,
    layer: &Arc<SavePoint>,
) -> Result<Activation> {
    let data = relu::forward_only(x.data()).map_err(|e| layer.failed(e))?;
    let rectified = constant(data.clone(), x).offer(Box::new(Rectified(packed)), layer, axes);
    let (kept, by) = (rectified.clone(), layer.clone());
    let y = output("relu", data, &[x], &[], move |grad| {
        let restored = kept.value().unpack().map_err(|e| by.codec_failed(e))?;
        let (_, mask) = relu::forward(&restored).map_err(|e| by.failed(e))?;
        let grad = relu::backward(&grad, &mask).map_err(|e| by.failed(e))?;
        Ok(Gradients::input(grad))
    })?;
    y.share(&rectified, layer, axes);
    Ok(y)
}

/// A packed tensor as it is behind a ReLU, at no bytes of its own.
struct Rectified(Arc<KeptPacked>);

impl Packed for Rectified {
    fn bytes(&self) -> Bytes {
        Bytes::default()
    }

    fn unpack(&self) -> packlight_codec::Result<Tensor> {
        Ok(relu::forward_only(&self.0.value().unpack()?)?)
    }
}
