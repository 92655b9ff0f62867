//! Two-dimensional convolution. Keeps its input, which only the weight's gradient needs.

use std::sync::Arc;

use candle_core::Tensor;
use packlight_codec::AxisLayout;
use packlight_kernels::conv2d::{self, Conv2dGeometry};

use super::weighted::{KeptInput, Operands, output_grad, used_weight};
use crate::link::{Gradients, constant, output};
use crate::{Activation, Result, SavePoint};

/// Convolution of images (N,C,H,W) with weight (C',C/groups,Kh,Kw) and bias (C').
///
/// A codec that only packs changes the weight's gradient alone: those of the input and the bias
/// need no input.
///
/// # Errors
/// If the shapes do not fit, the codec cannot pack the input, or a kernel is missing.
pub fn conv2d(
    x: &Activation,
    weight: &Tensor,
    bias: Option<&Tensor>,
    geometry: Conv2dGeometry,
    layer: &Arc<SavePoint>,
) -> Result<Activation> {
    let operands = Operands::new(x, weight, bias, layer)?;
    let data = conv2d::forward(&operands.input, &operands.weight, bias, &geometry)
        .map_err(|e| layer.failed(e))?;
    let needs = operands.needs(x);
    if !needs.any() {
        return Ok(constant(data, x).with_axes(AxisLayout::Images));
    }
    let kept = match needs.parameters[0] {
        true => {
            let packed = x.keep_for_conv2d(layer, weight.dims(), &geometry)?;
            Some(KeptInput::new(packed, x, &operands.input, layer))
        }
        false => None,
    };
    let (shape, by, pass) = (x.dims().to_vec(), layer.clone(), x.shared_pass());
    let (weight, parameters) = (weight.detach(), operands.parameters);
    let parameters: Vec<&Tensor> = parameters.iter().collect();
    let y = output("conv2d", data, &[x], &parameters, move |exact| {
        let grad = output_grad(&exact, &weight, &by, &pass, AxisLayout::Images)?;
        let by_weight = kept.map(|kept| {
            kept.weight_grad(
                |packed| packed.conv2d_weight_grad(&grad, weight.dims(), &geometry),
                |input| conv2d::weight_grad(input, &exact, weight.dims(), &geometry),
            )
        });
        let mut gradients = vec![by_weight.transpose()?];
        let by_bias = needs.parameters.get(1).map(|&need| {
            need.then(|| conv2d::bias_grad(&grad).map_err(|e| by.failed(e))).transpose()
        });
        gradients.extend(by_bias.transpose()?);
        let by_input = needs.inputs[0].then(|| {
            let (codec, weight) = (by.codec(), used_weight(&weight, &by)?);
            let by_input = codec.conv2d_input_grad(&grad, &weight, &shape, &geometry);
            by_input.map_err(|e| by.codec_failed(e))
        });
        Ok(Gradients { inputs: vec![by_input.transpose()?], parameters: gradients })
    })?;
    Ok(y.with_axes(AxisLayout::Images))
}
