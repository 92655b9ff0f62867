//! Two whole backward passes over the same batch.

use candle_core::Tensor;
use candle_core::backprop::GradStore;
use packlight_autograd::Pass;
use packlight_nn::Parameters;
use packlight_record::Record;

use crate::exact_codecs::ExactCodecs;
use crate::metric::{bias_and_variance, fidelity, values};
use crate::{Error, Result};

/// Compares the gradients of all trained parameters, computed with the layers' codecs, with those
/// of another pass over the same batch in which every layer keeps its input exactly.
///
/// If `draws` is 2 or more, the compressed pass is made that many times with different random
/// numbers, to separate a codec's bias from its variance. `loss` computes the scalar loss of the
/// batch in the given pass, a copy of `pass` that changes neither running statistics nor the
/// codecs' state. The layers have their codecs back when this returns, even after an error.
///
/// # Errors
/// Returns an error if a pass fails, or a parameter of a layer that trains gets no gradient.
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
