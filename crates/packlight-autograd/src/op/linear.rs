//! Fully connected layer. Keeps its input, which only the weight's gradient needs.

use std::sync::Arc;

use candle_core::Tensor;
use packlight_codec::AxisLayout;
use packlight_kernels::linear;

use super::weighted::{KeptInput, Operands, output_grad, used_weight};
use crate::link::{Gradients, constant, output};
use crate::{Activation, Result, SavePoint};

/// `x W^T + b` over the last axis of `x` (..., n), with weight (m, n) and bias (m).
///
/// A codec that only packs changes the weight's gradient alone: those of the input and the bias
/// need no input.
///
/// # Errors
/// If the shapes do not fit, the codec cannot pack the input, or a kernel is missing.
pub fn linear(
    x: &Activation,
    weight: &Tensor,
    bias: Option<&Tensor>,
    layer: &Arc<SavePoint>,
) -> Result<Activation> {
    let operands = Operands::new(x, weight, bias, layer)?;
    let data =
        linear::forward(&operands.input, &operands.weight, bias).map_err(|e| layer.failed(e))?;
    let needs = operands.needs(x);
    if !needs.any() {
        return Ok(constant(data, x).with_axes(AxisLayout::Tokens));
    }
    let kept = match needs.parameters[0] {
        true => {
            let packed = x.keep(layer, AxisLayout::Tokens)?;
            Some(KeptInput::new(packed, x, &operands.input, layer))
        }
        false => None,
    };
    let (by, pass) = (layer.clone(), x.shared_pass());
    let (weight, parameters) = (weight.detach(), operands.parameters);
    let parameters: Vec<&Tensor> = parameters.iter().collect();
    let y = output("linear", data, &[x], &parameters, move |exact| {
        let grad = output_grad(&exact, &weight, &by, &pass, AxisLayout::Tokens)?;
        let by_weight = kept.map(|kept| {
            kept.weight_grad(
                |packed| packed.linear_weight_grad(&grad),
                |input| linear::weight_grad(input, &exact),
            )
        });
        let mut gradients = vec![by_weight.transpose()?];
        let by_bias = needs.parameters.get(1).map(|&need| {
            need.then(|| linear::bias_grad(&grad).map_err(|e| by.failed(e))).transpose()
        });
        gradients.extend(by_bias.transpose()?);
        let by_input = needs.inputs[0].then(|| {
            linear::input_grad(&grad, &used_weight(&weight, &by)?).map_err(|e| by.failed(e))
        });
        Ok(Gradients { inputs: vec![by_input.transpose()?], parameters: gradients })
    })?;
    Ok(y.with_axes(AxisLayout::Tokens))
}
