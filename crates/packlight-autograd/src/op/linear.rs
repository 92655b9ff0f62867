//! Fully connected layer. Keeps its input, which only the weight's gradient needs.

use std::sync::Arc;

use candle_core::Tensor;
use packlight_codec::InputForm;
use packlight_kernels::linear;

use super::weighted::KeptInput;
use crate::gradient::Gradient;
use crate::link::{Gradients, Needs, constant, output};
use crate::{Activation, Layer, Result};

/// `x W^T + b` over the last axis of `x` (..., n), with weight (m, n) and bias (m).
///
/// A codec changes the weight's gradient alone: those of the input and the bias need no input.
///
/// # Errors
/// If the shapes do not fit, the codec cannot pack the input, or a kernel is missing.
pub fn linear(
    x: &Activation,
    weight: &Tensor,
    bias: Option<&Tensor>,
    layer: &Arc<Layer>,
) -> Result<Activation> {
    let data = linear::forward(x.data(), weight, bias).map_err(|e| layer.failed(e))?;
    let parameters: Vec<&Tensor> = [weight].into_iter().chain(bias).collect();
    let needs = Needs::of(&[x], &parameters);
    if !needs.any() {
        return Ok(constant(data, x));
    }
    let kept =
        needs.parameters[0].then(|| KeptInput::new(x, layer, InputForm::Tokens)).transpose()?;
    let (detached, layer) = (weight.detach(), layer.clone());
    output("linear", data, &[x], &parameters, move |grad| {
        let (grad, weight) = (grad.tensor, detached);
        let by_weight = kept.map(|kept| {
            kept.weight_grad(
                |packed| packed.linear_weight_grad(&grad),
                |input| linear::weight_grad(input, &grad),
            )
        });
        let mut gradients = vec![by_weight.transpose()?];
        let by_bias = needs.parameters.get(1).map(|&need| {
            need.then(|| linear::bias_grad(&grad).map_err(|e| layer.failed(e))).transpose()
        });
        gradients.extend(by_bias.transpose()?);
        let by_input = needs.inputs[0]
            .then(|| linear::input_grad(&grad, &weight).map_err(|e| layer.failed(e)));
        let by_input = by_input.transpose()?.map(Gradient::own);
        Ok(Gradients { inputs: vec![by_input], parameters: gradients })
    })
}
