//! Two whole backward passes over the same batch.

use std::sync::Arc;

use candle_core::Tensor;
use candle_core::backprop::GradStore;
use packlight_autograd::{Layer, Pass};
use packlight_codec::Codec;
use packlight_nn::Parameters;
use packlight_record::Record;

use crate::metric::fidelity;
use crate::{Error, Result};

/// Compares the gradients of all parameters as the layers' codecs give them with those of a second
/// pass over the same batch in which every layer keeps its input exactly.
///
/// `loss` computes the scalar loss of the batch in the pass that it is given; it is called twice,
/// each time with `pass` changed so that running statistics stay as they are. The layers have
/// their codecs back when this returns, whether or not it succeeds.
///
/// # Errors
/// If a pass fails, or a parameter gets no gradient.
pub fn whole_pass(
    parameters: &Parameters,
    pass: &Pass,
    loss: impl Fn(&Pass) -> packlight_nn::Result<Tensor>,
    epoch: u64,
    step: u64,
) -> Result<Vec<Record>> {
    let pass = pass.clone().freeze_statistics();
    let compressed = loss(&pass)?.backward()?;
    let exact = {
        let _codecs = ExactCodecs::put_on(parameters.layers())?;
        loss(&pass)?.backward()?
    };
    let mut records = Vec::new();
    for (name, var) in parameters.named() {
        let of = |store: &GradStore, which| {
            store.get(var).cloned().ok_or(Error::NoGradient { parameter: name.to_string(), which })
        };
        records.push(Record::WholeGradient {
            epoch,
            step,
            parameter: name.to_string(),
            fidelity: fidelity(&of(&exact, "exact")?, &of(&compressed, "compressed")?)?,
        });
    }
    Ok(records)
}

/// Gives every layer the codec `none`, and its own back when dropped.
struct ExactCodecs<'a> {
    layers: &'a [Arc<Layer>],
    own: Vec<Arc<dyn Codec>>,
}

impl<'a> ExactCodecs<'a> {
    fn put_on(layers: &'a [Arc<Layer>]) -> Result<Self> {
        let none = packlight_codec::parse("none")?;
        let own = layers.iter().map(|layer| layer.codec()).collect();
        layers.iter().for_each(|layer| layer.set_codec(none.clone()));
        Ok(Self { layers, own })
    }
}

impl Drop for ExactCodecs<'_> {
    fn drop(&mut self) {
        for (layer, codec) in self.layers.iter().zip(&self.own) {
            layer.set_codec(codec.clone());
        }
    }
}
