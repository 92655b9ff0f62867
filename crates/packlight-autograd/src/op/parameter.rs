//! Parameters that are the same for each sample: added to it, or put in front. Saves nothing.

use candle_core::Tensor;
use packlight_kernels::blank::{blank, is_blank};
use packlight_kernels::{accumulate, linear};

use crate::operation::{Gradients, Needs, constant, output};
use crate::{Activation, Error, Result};

/// `x` (N, ...) with `parameter` (1, ...) added to each sample, as a position embedding is.
///
/// # Errors
/// Returns an error if the shapes do not fit.
pub fn add_parameter(x: &Activation, parameter: &Tensor) -> Result<Activation> {
    if parameter.dims().split_first() != x.dims().split_first().map(|(_, rest)| (&1, rest)) {
        return Err(misfit("add_parameter", x, parameter));
    }
    let addend = parameter.detach().to_dtype(x.values().dtype())?;
    let data = accumulate::add_to_each(x.data(), &addend.squeeze(0)?)?;
    let needs = Needs::of(&[x], &[parameter]);
    if !needs.any() {
        return Ok(constant(data, x));
    }
    let shape = parameter.dims().to_vec();
    output("add_parameter", data, &[x], &[parameter], move |grad| {
        let by_parameter = needs.parameters[0].then(|| over_samples(&grad, &shape));
        let parameters = vec![by_parameter.transpose()?];
        Ok(Gradients { inputs: vec![Some(grad)], parameters })
    })
}

/// `x` (N, tokens, features) with `token` (1, 1, features) before each sample's first, as a class
/// token is.
///
/// # Errors
/// Returns an error if the shapes do not fit.
pub fn prepend_token(x: &Activation, token: &Tensor) -> Result<Activation> {
    let &[samples, tokens, features] = x.dims() else {
        return Err(misfit("prepend_token", x, token));
    };
    if token.dims() != [1, 1, features] {
        return Err(misfit("prepend_token", x, token));
    }
    let data = match is_blank(x.data()) {
        true => blank((samples, tokens + 1, features), x.data().dtype())?,
        false => {
            let token = token.detach().to_dtype(x.values().dtype())?;
            let first = token.broadcast_as((samples, 1, features))?.contiguous()?;
            Tensor::cat(&[&first, &x.data().contiguous()?], 1)?
        }
    };
    let needs = Needs::of(&[x], &[token]);
    if !needs.any() {
        return Ok(constant(data, x));
    }
    output("prepend_token", data, &[x], &[token], move |grad| {
        let by_token =
            needs.parameters[0].then(|| over_samples(&grad.narrow(1, 0, 1)?, &[1, 1, features]));
        let rest = grad.narrow(1, 1, tokens)?.force_contiguous()?;
        Ok(Gradients { inputs: vec![Some(rest)], parameters: vec![by_token.transpose()?] })
    })
}

/// The sum of a gradient over its samples, as a tensor of `shape`.
fn over_samples(grad: &Tensor, shape: &[usize]) -> Result<Tensor> {
    Ok(linear::bias_grad(&grad.flatten_from(1)?)?.reshape(shape)?)
}

fn misfit(op: &'static str, x: &Activation, parameter: &Tensor) -> Error {
    let (found, given) = (x.dims(), parameter.dims());
    Error::Shape { op, reason: format!("a parameter {given:?} does not fit samples {found:?}") }
}
