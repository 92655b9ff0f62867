//! Dropout. Saves nothing: its mask is drawn again from the pass's seed and step.

use std::sync::Arc;

use candle_core::Tensor;
use packlight_codec::{Bytes, Op, Packed};
use packlight_kernels::dropout;
use packlight_kernels::rng::{Key, Purpose};

use crate::operation::{Gradients, Needs, constant, output_owning};
use crate::{Activation, Result, SavePoint, SavedInput};

/// Zeroes each element with `probability` and scales the others up, in training only.
///
/// # Errors
/// Returns an error if the probability is not in [0, 1), or a kernel is missing.
pub fn dropout(
    x: &Activation,
    probability: f64,
    save_point: &Arc<SavePoint>,
) -> Result<Activation> {
    drop_out(x, probability, save_point, None)
}

/// [`dropout()`] of what the save point `saver` has saved, such as the output of a softmax. If the
/// output of the dropout is to be saved there, too, nothing more is saved: the same elements are
/// dropped of what is restored.
///
/// # Errors
/// Returns an error if the probability is not in [0, 1), or a kernel is missing.
pub fn dropout_of_saved(
    x: &Activation,
    probability: f64,
    save_point: &Arc<SavePoint>,
    saver: &Arc<SavePoint>,
) -> Result<Activation> {
    drop_out(x, probability, save_point, Some(saver))
}

fn drop_out(
    x: &Activation,
    probability: f64,
    save_point: &Arc<SavePoint>,
    saver: Option<&Arc<SavePoint>>,
) -> Result<Activation> {
    if !x.pass().is_training() || probability == 0.0 {
        return Ok(x.clone());
    }
    let key = x.pass().key(Purpose::Dropout, save_point.name());
    let data = dropout::apply(x.data(), probability, key).map_err(|e| save_point.failed(e))?;
    if !Needs::of(&[x], &[]).any() {
        return Ok(constant(data, x));
    }
    let whole = saver.map(|saver| x.saved_alike(saver, Op::Softmax)).transpose()?.flatten();
    let left = whole.zip(saver).map(|(whole, saver)| {
        let key_of_copy = whole.key();
        let left = Box::new(Left { whole, probability, key });
        SavedInput::new(left, key_of_copy, &data, x.pass(), saver)
    });
    let (held, by) = (left.clone(), save_point.clone());
    let y = output_owning("dropout", data, &[x], &[], move |grad| {
        let grad = dropout::apply(grad.tensor(), probability, key).map_err(|e| by.failed(e))?;
        drop(held);
        Ok(Gradients::input(grad))
    })?;
    if let Some(left) = left {
        y.share(&left);
    }
    Ok(y)
}

/// What dropout has left of a saved tensor, at no bytes of its own.
struct Left {
    whole: SavedInput,
    probability: f64,
    key: Key,
}

impl Packed for Left {
    fn bytes(&self) -> Bytes {
        Bytes::default()
    }

    fn unpack(&self) -> packlight_codec::Result<Tensor> {
        Ok(dropout::apply(&self.whole.packed().unpack()?, self.probability, self.key)?)
    }
}
