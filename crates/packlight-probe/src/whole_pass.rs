//! Two whole backward passes over the same batch.

use candle_core::Tensor;
use candle_core::backprop::GradStore;
use packlight_autograd::Pass;
use packlight_nn::Parameters;
use packlight_record::Record;

use crate::exact_codecs::ExactCodecs;
use crate::metric::{Scatter, fidelity, values};
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
    let of = |store: &GradStore, name: &str, var, which| {
        store.get(var).cloned().ok_or(Error::NoGradient { parameter: name.to_string(), which })
    };
    let trained: Vec<_> = parameters.trained().collect();
    let mut scatters = vec![Scatter::default(); trained.len()];
    for draw in 1..draws {
        let repeated = loss(&pass.clone().with_codec_draw(draw))?.backward()?;
        for ((name, var), scatter) in trained.iter().zip(&mut scatters) {
            let first = values(&of(&compressed, name, var, "compressed")?)?;
            scatter.add(&first, &values(&of(&repeated, name, var, "repeated")?)?);
        }
    }
    let mut records = Vec::new();
    for ((name, var), scatter) in trained.into_iter().zip(scatters) {
        let (exact, first) =
            (of(&exact, name, var, "exact")?, of(&compressed, name, var, "compressed")?);
        records.push(Record::WholeGradient {
            epoch,
            step,
            parameter: name.to_string(),
            fidelity: fidelity(&exact, &first)?,
            draws: scatter.bias_and_variance(&values(&exact)?, &values(&first)?),
        });
    }
    Ok(records)
}
