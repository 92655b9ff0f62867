//! Rows of a table by their numbers. Saves the numbers.

use std::sync::Arc;

use candle_core::Tensor;
use packlight_codec::AxisLayout;
use packlight_kernels::blank::{blank, is_blank};
use packlight_record::KeptKind;

use crate::operation::{Gradients, Needs, constant, output};
use crate::{Activation, Error, Result, SavePoint};

/// The rows (..., features) of `weight` (entries, features) that `tokens` (..., u32) name.
///
/// The gradient of a row is the sum over its places, in their order.
///
/// # Errors
/// Returns an error if a token is no entry of the table.
pub fn embedding(
    tokens: &Activation,
    weight: &Tensor,
    save_point: &Arc<SavePoint>,
) -> Result<Activation> {
    let (entries, features) = weight.dims2()?;
    let numbers = tokens.data().flatten_all()?;
    if let Some(&token) = numbers.to_vec1::<u32>()?.iter().find(|&&t| t as usize >= entries) {
        let reason = format!("layer `{}`: token {token} of {entries} entries", save_point.name());
        return Err(Error::Shape { op: "embedding", reason });
    }
    let shape = [tokens.dims(), &[features]].concat();
    let data = match is_blank(tokens.data()) {
        true => blank(shape, weight.dtype())?,
        false => {
            let rows = weight.detach().index_select(&numbers, 0)?.reshape(shape)?;
            tokens.pass().as_activation(&rows)?
        }
    };
    let weight = if save_point.is_frozen() { &weight.detach() } else { weight };
    if !Needs::of(&[tokens], &[weight]).any() {
        return Ok(constant(data, tokens).with_axes(AxisLayout::Tokens));
    }
    let saved = tokens.save_tensor(save_point, KeptKind::Mask, numbers);
    let y = output("embedding", data, &[tokens], &[weight], move |grad| {
        let rows = grad.reshape(((), features))?;
        let zeros = Tensor::zeros((entries, features), rows.dtype(), rows.device())?;
        let by_weight = zeros.index_add(saved.value(), &rows, 0)?;
        Ok(Gradients { inputs: vec![None], parameters: vec![Some(by_weight)] })
    })?;
    Ok(y.with_axes(AxisLayout::Tokens))
}
