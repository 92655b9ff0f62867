//! Max-pooling. Saves the place of each maximum in its window, in one byte.

use std::sync::Arc;

use packlight_codec::AxisLayout;
use packlight_kernels::max_pool2d::{self, Windows};
use packlight_record::KeptKind;

use crate::operation::{Gradients, Needs, constant, output_owning};
use crate::{Activation, Result, SavePoint};

/// The maximum of each window of images (N,C,H,W).
///
/// # Errors
/// Returns an error if the windows do not fit, or a kernel is missing.
pub fn max_pool2d(
    x: &Activation,
    windows: Windows,
    save_point: &Arc<SavePoint>,
) -> Result<Activation> {
    let (data, indices) =
        max_pool2d::forward(x.data(), &windows).map_err(|e| save_point.failed(e))?;
    if !Needs::of(&[x], &[]).any() {
        return Ok(constant(data, x).with_axes(AxisLayout::Images));
    }
    let indices = x.save_tensor(save_point, KeptKind::Mask, indices);
    let (shape, save_point) = (x.dims().to_vec(), save_point.clone());
    let y = output_owning("max_pool2d", data, &[x], &[], move |grad| {
        let grad = max_pool2d::backward(grad.tensor(), indices.value(), &shape, &windows)
            .map_err(|e| save_point.failed(e))?;
        Ok(Gradients::input(grad))
    })?;
    Ok(y.with_axes(AxisLayout::Images))
}
