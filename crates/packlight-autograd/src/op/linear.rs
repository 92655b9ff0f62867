//! Fully connected layer. Saves its input, which only the weight's gradient needs.

use std::sync::Arc;

use candle_core::Tensor;
use packlight_codec::{AxisLayout, Op};
use packlight_kernels::Result as KernelResult;
use packlight_kernels::conv2d::Workspace;
use packlight_kernels::linear;
use packlight_kernels::values::Values;

use super::weighted::{Weighted, weighted};
use crate::{Activation, Result, SavePoint};

/// `x W^T + b` over the last axis of `x` (..., n), with weight (m, n) and bias (m).
///
/// A codec that only packs changes the weight's gradient alone: those of the input and the bias
/// need no input.
///
/// # Errors
/// Returns an error if the shapes do not fit, the codec cannot pack the input, or a kernel is
/// missing.
pub fn linear(
    x: &Activation,
    weight: &Tensor,
    bias: Option<&Tensor>,
    save_point: &Arc<SavePoint>,
) -> Result<Activation> {
    weighted(Linear { transposed: false }, x, weight, bias, save_point)
}

/// Like [`linear()`], with the weight transposed: of shape (n, m).
///
/// # Errors
/// Returns an error if the shapes do not fit, the codec cannot pack the input, or a kernel is
/// missing.
pub fn linear_transposed(
    x: &Activation,
    weight: &Tensor,
    bias: Option<&Tensor>,
    save_point: &Arc<SavePoint>,
) -> Result<Activation> {
    weighted(Linear { transposed: true }, x, weight, bias, save_point)
}

struct Linear {
    transposed: bool,
}

impl Weighted for Linear {
    const NAME: &'static str = "linear";
    const AXES: AxisLayout = AxisLayout::Tokens;

    fn op<'a>(&self, weight: &'a Tensor) -> Op<'a> {
        Op::Linear { weight_shape: weight.dims() }
    }

    fn forward(
        &self,
        input: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
    ) -> KernelResult<Tensor> {
        linear::forward(input, weight, bias)
    }

    fn oriented(&self, weight: Tensor) -> KernelResult<Tensor> {
        Ok(if self.transposed { weight.t()? } else { weight })
    }

    fn weight_grad(&self, input: Values<'_>, grad: &Tensor, _: &[usize]) -> KernelResult<Tensor> {
        match self.transposed {
            true => Ok(linear::transposed_weight_grad(input, grad)?.t()?), // laid out as the weight is
            false => linear::weight_grad(input, grad),
        }
    }

    fn bias_grad(&self, grad: &Tensor) -> KernelResult<Tensor> {
        linear::bias_grad(grad)
    }

    fn input_grad(&self, grad: &Tensor, weight: &Tensor, _: &[usize]) -> KernelResult<Tensor> {
        linear::input_grad(grad, weight)
    }

    fn workspace(&self, input: &Tensor, weight: &Tensor) -> KernelResult<Workspace> {
        Ok(linear::workspace(weight.elem_count(), self.transposed, input.dtype()))
    }
}
