//! Softmax over the last axis. Keeps its output, which the product that follows can share.

use std::sync::Arc;

use packlight_kernels::softmax::{self, Visible};

use crate::link::{Gradients, Needs, constant, output};
use crate::{Activation, Result, SavePoint};

/// The probabilities for scores `x` (..., n), of which each row counts what is `visible`; with a
/// codec, the gradient is the one for the restored probabilities.
///
/// # Errors
/// If the lengths do not fit, the codec cannot pack the output, or a kernel is missing.
pub fn softmax(x: &Activation, visible: &Visible, layer: &Arc<SavePoint>) -> Result<Activation> {
    let data = softmax::forward(x.data(), visible).map_err(|e| layer.failed(e))?;
    if !Needs::of(&[x], &[]).any() {
        return Ok(constant(data, x));
    }
    let axes = x.axes();
    let packed = constant(data.clone(), x).keep(layer, axes)?;
    let (kept, by) = (packed.clone(), layer.clone());
    let y = output("softmax", data, &[x], &[], move |grad| {
        let restored = kept.value().unpack().map_err(|e| by.codec_failed(e))?;
        let grad = softmax::backward(&restored, &grad).map_err(|e| by.failed(e))?;
        Ok(Gradients::input(grad))
    })?;
    y.share(&packed, layer, axes);
    Ok(y)
}
