//! Dropout. Keeps nothing: its mask is drawn again from the pass's seed and step.

use std::sync::Arc;

use candle_core::Tensor;
use packlight_codec::{Bytes, Packed};
use packlight_kernels::dropout;
use packlight_kernels::rng::{Key, Purpose};

use crate::activation::KeptPacked;
use crate::link::{Gradients, Needs, constant, output};
use crate::{Activation, Result, SavePoint};

/// Zeroes each element with `probability` and scales the others up, in training only.
///
/// # Errors
/// If the probability is not in [0, 1), or a kernel is missing.
pub fn dropout(x: &Activation, probability: f64, layer: &Arc<SavePoint>) -> Result<Activation> {
    drop_out(x, probability, layer, None)
}

/// [`dropout()`] of what the layer `keeper` has kept, such as a softmax's output: if it is to keep
/// what is left too, it keeps nothing more, and drops the same elements of what it restores.
///
/// # Errors
/// If the probability is not in [0, 1), or a kernel is missing.
pub fn dropout_of_kept(
    x: &Activation,
    probability: f64,
    layer: &Arc<SavePoint>,
    keeper: &Arc<SavePoint>,
) -> Result<Activation> {
    drop_out(x, probability, layer, Some(keeper))
}

fn drop_out(
    x: &Activation,
    probability: f64,
    layer: &Arc<SavePoint>,
    keeper: Option<&Arc<SavePoint>>,
) -> Result<Activation> {
    if !x.pass().is_training() || probability == 0.0 {
        return Ok(x.clone());
    }
    let key = x.pass().key(Purpose::Dropout, layer.name());
    let data = dropout::apply(x.data(), probability, key).map_err(|e| layer.failed(e))?;
    if !Needs::of(&[x], &[]).any() {
        return Ok(constant(data, x));
    }
    let axes = x.axes();
    let left = keeper.and_then(|keeper| {
        let whole = x.kept_alike(keeper, axes)?;
        let left = Box::new(Left { whole, probability, key });
        Some((constant(data.clone(), x).offer(left, keeper, axes), keeper))
    });
    let (held, by) = (left.as_ref().map(|(left, _)| left.clone()), layer.clone());
    let y = output("dropout", data, &[x], &[], move |grad| {
        let grad = dropout::apply(&grad, probability, key).map_err(|e| by.failed(e))?;
        drop(held);
        Ok(Gradients::input(grad))
    })?;
    if let Some((left, keeper)) = left {
        y.share(&left, keeper, axes);
    }
    Ok(y)
}

/// What is left of a packed tensor, at no bytes of its own.
struct Left {
    whole: Arc<KeptPacked>,
    probability: f64,
    key: Key,
}

impl Packed for Left {
    fn bytes(&self) -> Bytes {
        Bytes::default()
    }

    fn unpack(&self) -> packlight_codec::Result<Tensor> {
        Ok(dropout::apply(&self.whole.value().unpack()?, self.probability, self.key)?)
    }
}
