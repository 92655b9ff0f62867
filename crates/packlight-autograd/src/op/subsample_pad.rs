//! The shortcut without parameters of CIFAR ResNets. Saves nothing.

use packlight_codec::AxisLayout;
use packlight_kernels::subsample;

use crate::operation::{Gradients, Needs, constant, output};
use crate::{Activation, Result};

/// Every `stride`-th pixel of images (N,C,H,W), with zero channels before and after them to make up
/// `channels`: option A of He et al., arXiv 1512.03385.
///
/// # Errors
/// Returns an error if an odd number of channels is missing, or a kernel is missing.
pub fn subsample_pad(x: &Activation, stride: usize, channels: usize) -> Result<Activation> {
    let data = subsample::forward(x.data(), stride, channels)?;
    if !Needs::of(&[x], &[]).any() {
        return Ok(constant(data, x).with_axes(AxisLayout::Images));
    }
    let shape = x.dims().to_vec();
    let y = output("subsample_pad", data, &[x], &[], move |grad| {
        let grad = subsample::backward(&grad, &shape, stride)?;
        Ok(Gradients::input(grad))
    })?;
    Ok(y.with_axes(AxisLayout::Images))
}
