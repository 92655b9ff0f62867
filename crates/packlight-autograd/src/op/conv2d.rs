//! Two-dimensional convolution. Saves its input, which only the weight's gradient needs.

use std::sync::Arc;

use candle_core::Tensor;
use packlight_codec::{AxisLayout, Op};
use packlight_kernels::Result as KernelResult;
use packlight_kernels::conv2d::{self, Conv2dGeometry, Workspace};
use packlight_kernels::values::Values;

use super::weighted::{Weighted, weighted};
use crate::{Activation, Result, SavePoint};

/// Convolution of images (N,C,H,W) with weight (C',C/groups,Kh,Kw) and bias (C').
///
/// A codec that only packs changes the weight's gradient alone: those of the input and the bias
/// need no input.
///
/// # Errors
/// Returns an error if the shapes do not fit, the codec cannot pack the input, or a kernel is
/// missing.
pub fn conv2d(
    x: &Activation,
    weight: &Tensor,
    bias: Option<&Tensor>,
    geometry: Conv2dGeometry,
    save_point: &Arc<SavePoint>,
) -> Result<Activation> {
    weighted(geometry, x, weight, bias, save_point)
}

impl Weighted for Conv2dGeometry {
    const NAME: &'static str = "conv2d";
    const AXES: AxisLayout = AxisLayout::Images;

    fn op<'a>(&self, weight: &'a Tensor) -> Op<'a> {
        Op::Conv2d { weight_shape: weight.dims(), geometry: *self }
    }

    fn forward(
        &self,
        input: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
    ) -> KernelResult<Tensor> {
        conv2d::forward(input, weight, bias, self)
    }

    fn weight_grad(
        &self,
        input: Values<'_>,
        grad: &Tensor,
        weight: &[usize],
    ) -> KernelResult<Tensor> {
        conv2d::weight_grad(&input.restored()?, grad, weight, self)
    }

    fn bias_grad(&self, grad: &Tensor) -> KernelResult<Tensor> {
        conv2d::bias_grad(grad)
    }

    fn input_grad(&self, grad: &Tensor, weight: &Tensor, input: &[usize]) -> KernelResult<Tensor> {
        conv2d::input_grad(grad, weight, input, self)
    }

    fn workspace(&self, input: &Tensor, weight: &Tensor) -> KernelResult<Workspace> {
        conv2d::workspace(input.dims(), weight.dims(), self, input.dtype())
    }
}
