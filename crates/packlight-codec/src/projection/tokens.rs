//! The inputs of linear layers, for codecs that are defined for these alone.

use candle_core::Tensor;
use packlight_kernels::rng::Key;

use crate::{AxisLayout, Codec, Error, Result};

/// The tokens and features of a linear layer's input (..., features).
///
/// # Errors
/// Returns an error if the input is not that of a linear layer, or holds nothing.
pub(crate) fn lengths(
    codec: &dyn Codec,
    shape: &[usize],
    axes: AxisLayout,
) -> Result<(usize, usize)> {
    let refuse = |reason: &str| {
        Err(Error::Shape { codec: codec.spec(), shape: shape.into(), reason: reason.into() })
    };
    match (axes, shape) {
        (AxisLayout::Images, _) => refuse("it is for the inputs (..., features) of linear layers"),
        (_, []) => refuse("a scalar has no features"),
        (_, _) if shape.contains(&0) => refuse("it holds nothing"),
        (_, [tokens @ .., features]) => Ok((tokens.iter().product(), *features)),
    }
}

/// A tensor (..., features) as a matrix (tokens, features).
///
/// # Errors
/// Returns an error if candle cannot copy the data.
pub(crate) fn as_matrix(tensor: &Tensor) -> Result<Tensor> {
    let features = tensor.dims().last().copied().unwrap_or(1);
    Ok(tensor.reshape(((), features))?)
}

/// `count` different numbers below `all`, or all of them where there are fewer, in ascending order.
pub(crate) fn some_of(all: usize, count: usize, key: Key) -> Vec<u32> {
    let mut numbers: Vec<u32> = (0..all as u32).collect();
    key.stream().shuffle(&mut numbers);
    numbers.truncate(count);
    numbers.sort_unstable();
    numbers
}
