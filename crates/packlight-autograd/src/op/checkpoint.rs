//! Gradient checkpointing. Keeps the input of a part of the network and computes the part again in
//! the backward pass (Chen et al., "Training deep nets with sublinear memory cost", 2016).

use std::sync::Arc;

use candle_core::Var;
use packlight_codec::InputForm;

use crate::link::{self, Gradients, Needs, output};
use crate::{Activation, Layer, Result};

/// What `part` makes of `x`, keeping `x` alone; `parameters` are those that `part` uses.
///
/// The gradients are those without checkpointing: the second forward pass draws the same random
/// numbers and leaves running statistics as the first has left them. With a codec on `layer`, the
/// part is computed again from the restored input.
///
/// # Errors
/// If `part` fails, or the codec cannot pack the input.
pub fn checkpoint(
    x: &Activation,
    parameters: &[Var],
    layer: &Arc<Layer>,
    part: impl Fn(&Activation) -> Result<Activation> + Send + 'static,
) -> Result<Activation> {
    let tracked: Vec<_> = parameters.iter().map(Var::as_tensor).collect();
    let needs = Needs::of(&[x], &tracked);
    if !needs.any() {
        return part(x);
    }
    let once = Activation::from_tensor(x.data(), &x.pass().clone().keeping_nothing())?;
    let data = part(&once)?.data().clone();
    let form = if x.dims().len() == 4 { InputForm::Images } else { InputForm::Tokens };
    let (kept, pass) = (x.keep(layer, form)?, x.pass().clone().again());
    let (layer, used) = (layer.clone(), parameters.to_vec());
    output("checkpoint", data, &[x], &tracked, move |grad| {
        let restored = kept.value().unpack().map_err(|e| layer.codec_failed(e))?;
        let root = link::root(restored.device())?;
        let input = Activation::new(restored, Arc::new(pass), Some(root.clone()));
        input.share(&kept, &layer, form);
        let again = part(&input)?;
        drop((input, kept)); // what layers within share lives on with them
        let Some(end) = again.link().cloned() else {
            return Ok(Gradients { inputs: vec![None], parameters: vec![None; used.len()] });
        };
        drop(again);
        let mut store = end.backward(grad)?;
        Ok(Gradients {
            inputs: vec![root.take_gradient()],
            parameters: used.iter().map(|var| store.remove(var)).collect(),
        })
    })
}
