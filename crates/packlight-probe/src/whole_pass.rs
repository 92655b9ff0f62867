//! Two whole backward passes over the same batch.

use std::sync::Arc;

use candle_core::Tensor;
use candle_core::backprop::GradStore;
use packlight_autograd::{Pass, SavePoint};
use packlight_codec::{Codec, CodecState};
use packlight_nn::Parameters;
use packlight_record::Record;

use crate::metric::{bias_and_variance, fidelity, values};
use crate::{Error, Result};

/// Compares the gradients of all trained parameters as the layers' codecs give them with those of
/// another pass over the same batch in which every layer keeps its own input exactly.
///
/// With `draws` of 2 or more the compressed pass is repeated so often with other random numbers, to
/// tell a codec's bias from its variance. `loss` computes the scalar loss of the batch in the pass
/// that it is given, each time with `pass` changed so that running statistics and what codecs
/// remember stay as they are. The layers have their codecs back when this returns, whether or not
/// it succeeds.
///
/// # Errors
/// If a pass fails, or a parameter of a layer that trains gets no gradient.
pub fn whole_pass(
    parameters: &Parameters,
    pass: &Pass,
    loss: impl Fn(&Pass) -> packlight_nn::Result<Tensor>,
    draws: u64,
    epoch: u64,
    step: u64,
) -> Result<Vec<Record>> {
    let pass = pass.clone().freeze_statistics();
    let exact = {
        let _codecs = ExactCodecs::put_on(parameters.save_points())?;
        loss(&pass.clone().saving_own_inputs())?.backward()?
    };
    let compressed = loss(&pass)?.backward()?;
    let mut repeated = Vec::new();
    for draw in 1..draws {
        repeated.push(loss(&pass.clone().with_codec_draw(draw))?.backward()?);
    }
    let mut records = Vec::new();
    for (name, var) in parameters.trained() {
        let of = |store: &GradStore, which| {
            store.get(var).cloned().ok_or(Error::NoGradient { parameter: name.to_string(), which })
        };
        let (exact, first) = (of(&exact, "exact")?, of(&compressed, "compressed")?);
        let mut all = vec![values(&first)?];
        for store in &repeated {
            all.push(values(&of(store, "repeated")?)?);
        }
        records.push(Record::WholeGradient {
            epoch,
            step,
            parameter: name.to_string(),
            fidelity: fidelity(&exact, &first)?,
            draws: (draws > 1)
                .then(|| values(&exact).map(|exact| bias_and_variance(&exact, &all)))
                .transpose()?,
        });
    }
    Ok(records)
}

/// Gives every layer the codec `none`, and its own back, with what it remembers, when dropped.
struct ExactCodecs<'a> {
    layers: &'a [Arc<SavePoint>],
    own: Vec<(Arc<dyn Codec>, CodecState)>,
}

impl<'a> ExactCodecs<'a> {
    fn put_on(layers: &'a [Arc<SavePoint>]) -> Result<Self> {
        let none = packlight_codec::parse("none")?;
        let own = layers.iter().map(|layer| (layer.codec(), layer.codec_state().clone())).collect();
        layers.iter().for_each(|layer| layer.set_codec(none.clone()));
        Ok(Self { layers, own })
    }
}

impl Drop for ExactCodecs<'_> {
    fn drop(&mut self) {
        for (layer, (codec, memory)) in self.layers.iter().zip(&self.own) {
            layer.set_codec(codec.clone());
            *layer.codec_state() = memory.clone();
        }
    }
}
