//! Max-pooling. Keeps where in its window each maximum stood, in one byte.

use std::sync::Arc;

use packlight_codec::AxisLayout;
use packlight_kernels::max_pool2d::{self, Windows};
use packlight_record::KeptKind;

use crate::link::{Gradients, Needs, constant, output};
use crate::{Activation, Result, SavePoint};

/// The maximum of each window of images (N,C,H,W).
///
/// # Errors
/// If the windows do not fit, or a kernel is missing.
pub fn max_pool2d(x: &Activation, windows: Windows, layer: &Arc<SavePoint>) -> Result<Activation> {
    let (data, indices) = max_pool2d::forward(x.data(), &windows).map_err(|e| layer.failed(e))?;
    if !Needs::of(&[x], &[]).any() {
        return Ok(constant(data, x).with_axes(AxisLayout::Images));
    }
    let indices = x.keep_tensor(layer, KeptKind::Mask, indices);
    let (shape, layer) = (x.dims().to_vec(), layer.clone());
    let y = output("max_pool2d", data, &[x], &[], move |grad| {
        let grad = max_pool2d::backward(&grad, indices.value(), &shape, &windows)
            .map_err(|e| layer.failed(e))?;
        Ok(Gradients::input(grad))
    })?;
    Ok(y.with_axes(AxisLayout::Images))
}
