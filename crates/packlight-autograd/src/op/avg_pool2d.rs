//! Average pooling. Saves nothing.

use packlight_codec::AxisLayout;
use packlight_kernels::avg_pool2d;

use crate::operation::{Gradients, Needs, constant, output};
use crate::{Activation, Result};

/// The mean of each window of images (N,C,H,W); windows lie wholly within the image.
///
/// # Errors
/// Returns an error if no window fits, or a kernel is missing.
pub fn avg_pool2d(
    x: &Activation,
    kernel: (usize, usize),
    stride: (usize, usize),
) -> Result<Activation> {
    let data = avg_pool2d::forward(x.data(), kernel, stride)?;
    if !Needs::of(&[x], &[]).any() {
        return Ok(constant(data, x).with_axes(AxisLayout::Images));
    }
    let shape = x.dims().to_vec();
    let y = output("avg_pool2d", data, &[x], &[], move |grad| {
        let grad = avg_pool2d::backward(&grad, &shape, kernel, stride)?;
        Ok(Gradients::input(grad))
    })?;
    Ok(y.with_axes(AxisLayout::Images))
}

/// The mean (N,C) of images (N,C,H,W) over all their pixels.
///
/// # Errors
/// Returns an error if the images hold no pixels, or a kernel is missing.
pub fn global_avg_pool2d(x: &Activation) -> Result<Activation> {
    let data = avg_pool2d::global(x.data())?;
    if !Needs::of(&[x], &[]).any() {
        return Ok(constant(data, x).with_axes(AxisLayout::Tokens));
    }
    let size = (x.dims()[2], x.dims()[3]);
    let y = output("global_avg_pool2d", data, &[x], &[], move |grad| {
        let grad = avg_pool2d::global_backward(&grad, size)?;
        Ok(Gradients::input(grad))
    })?;
    Ok(y.with_axes(AxisLayout::Tokens))
}
