//! Two-dimensional convolution. Keeps its input, which only the weight's gradient needs.

use std::sync::Arc;

use candle_core::Tensor;
use packlight_codec::InputForm;
use packlight_kernels::conv2d::{self, Conv2dGeometry};

use super::weighted::KeptInput;
use crate::gradient::Gradient;
use crate::link::{Gradients, Needs, constant, output};
use crate::{Activation, Layer, Result};

/// Convolution of images (N,C,H,W) with weight (C',C/groups,Kh,Kw) and bias (C').
///
/// A codec changes the weight's gradient alone: those of the input and the bias need no input.
///
/// # Errors
/// If the shapes do not fit, the codec cannot pack the input, or a kernel is missing.
pub fn conv2d(
    x: &Activation,
    weight: &Tensor,
    bias: Option<&Tensor>,
    geometry: Conv2dGeometry,
    layer: &Arc<Layer>,
) -> Result<Activation> {
    let data = conv2d::forward(x.data(), weight, bias, &geometry).map_err(|e| layer.failed(e))?;
    let parameters: Vec<&Tensor> = [weight].into_iter().chain(bias).collect();
    let needs = Needs::of(&[x], &parameters);
    if !needs.any() {
        return Ok(constant(data, x));
    }
    let kept =
        needs.parameters[0].then(|| KeptInput::new(x, layer, InputForm::Images)).transpose()?;
    let (shape, detached, layer) = (x.dims().to_vec(), weight.detach(), layer.clone());
    output("conv2d", data, &[x], &parameters, move |grad| {
        let (grad, weight) = (grad.tensor, detached);
        let by_weight = kept.map(|kept| {
            kept.weight_grad(
                |packed| packed.conv2d_weight_grad(&grad, weight.dims(), &geometry),
                |input| conv2d::weight_grad(input, &grad, weight.dims(), &geometry),
            )
        });
        let mut gradients = vec![by_weight.transpose()?];
        let by_bias = needs.parameters.get(1).map(|&need| {
            need.then(|| conv2d::bias_grad(&grad).map_err(|e| layer.failed(e))).transpose()
        });
        gradients.extend(by_bias.transpose()?);
        let by_input = needs.inputs[0].then(|| {
            conv2d::input_grad(&grad, &weight, &shape, &geometry).map_err(|e| layer.failed(e))
        });
        let by_input = by_input.transpose()?.map(Gradient::own);
        Ok(Gradients { inputs: vec![by_input], parameters: gradients })
    })
}
