//! What codecs do to the gradients of a batch: one at one layer, all other layers exact, or several together.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::Tensor;
use candle_core::backprop::GradStore;
use packlight_autograd::{Observer, Pass, SavePoint, SavedTensor, WeightGradient};
use packlight_codec::{Codec, CodecState};
use packlight_nn::{Parameters, Plan};
use packlight_record::{Compared, Distribution, Fidelity};

use crate::error::refusal;
use crate::exact_codecs::ExactCodecs;
use crate::metric::{Errors, Rows, fidelity_of, learning_indicator, norm, values};
use crate::survey::{Copies, saved_by};
use crate::{Error, Result};

/// A codec to try at a layer.
#[derive(Debug, Clone)]
pub struct Trial {
    /// The layer's name.
    pub layer: Arc<str>,
    /// The codec.
    pub codec: Arc<dyn Codec>,
    /// How many times it packs, each time with other random numbers.
    pub draws: u64,
    /// What it remembers of the batches before; see [`settle`].
    pub state: CodecState,
}

/// What a trial has shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect {
    /// The gradients that were compared.
    pub compared: Compared,
    /// How close these are, in the first draw.
    pub fidelity: Fidelity,
    /// `E|h - g|^2` over them, and therefore over the gradients of all parameters: the mean over the
    /// draws.
    pub squared_error: f64,
    /// `|E h - g|^2`, estimated without bias; `None` for a single draw.
    pub squared_bias: Option<f64>,
    /// The learning indicator per sample (conv) or token (linear), where the layer's own gradient was
    /// compared.
    pub learning_indicator: Option<Distribution>,
    /// The bytes of the packed input.
    pub kept_bytes: u64,
    /// What identifies the packed copy.
    pub copy: String,
}

/// The outcome of a trial: its effect, or why the codec cannot pack the layer's input.
pub type Outcome = std::result::Result<Effect, String>;

/// The exact gradients of a batch, and trials beside them.
pub struct OneOn<'a, F> {
    parameters: &'a Parameters,
    pass: Pass,
    loss: F,
    gradient: Vec<f64>,
}

impl<'a, F: Fn(&Pass) -> packlight_nn::Result<Tensor>> OneOn<'a, F> {
    /// Computes the exact gradients of a batch, and tries codecs at conv and linear layers in the same
    /// pass: each changes only the gradient of its layer's own weight. The codecs must be ones that
    /// only pack. The outcomes are in the order of `trials`, and equal bit for bit what a pass of its
    /// own for each would show.
    ///
    /// `loss` computes the scalar loss of the batch in the given pass, a copy of `pass` that changes
    /// neither running statistics nor the codecs' states.
    ///
    /// # Errors
    /// Returns an error if a pass fails, the exact gradient is not finite, or a trial's layer is no
    /// conv or linear layer that the pass uses once.
    pub fn new(
        parameters: &'a Parameters,
        pass: &Pass,
        loss: F,
        trials: &[Trial],
    ) -> Result<(Self, Vec<Outcome>)> {
        let pass = pass.clone().freeze_statistics();
        let _exact = ExactCodecs::put_on(parameters.save_points())?;
        let bench = Arc::new(Bench { trials: trials.to_vec(), outcomes: Mutex::default() });
        let observed = pass.clone().saving_own_inputs().with_observer(bench.clone());
        let gradients = loss(&observed)?.backward()?;
        let gradient = flattened(parameters, &gradients, "exact")?;
        let norm = norm(&gradient);
        if !norm.is_finite() {
            return Err(Error::NotFinite { norm });
        }
        let outcomes = bench.in_order()?;
        Ok((Self { parameters, pass, loss, gradient }, outcomes))
    }

    /// `|g|`, the exact gradient's norm over all parameters.
    pub fn norm(&self) -> f64 {
        norm(&self.gradient)
    }

    /// Tries a codec in a pass of its own and compares the gradients of all parameters: for layers
    /// that pass their error on, and for codecs that do more than pack.
    ///
    /// # Errors
    /// Returns an error if the pass fails for another reason than that the codec cannot pack the input.
    pub fn alone(&self, trial: &Trial) -> Result<Outcome> {
        let _exact = ExactCodecs::put_on(self.parameters.save_points())?;
        let layer = put_on(trial, self.parameters)?;
        let mut kept_bytes = 0;
        let mut copy = None;
        let errors = self.over(trial.draws, |draw| {
            let kept = Arc::new(Kept { layer: layer.clone(), copies: Mutex::default() });
            let pass = self.pass.clone().saving_own_inputs().with_codec_draw(draw);
            let gradients = backward(&self.loss, &pass.with_observer(kept.clone()))?;
            let (bytes, first) = kept.found();
            kept_bytes = kept_bytes.max(bytes);
            copy.get_or_insert(first);
            flattened(self.parameters, &gradients, "compressed")
        })?;
        Ok(errors.map(|errors| Effect {
            compared: Compared::All,
            fidelity: fidelity_of(&self.gradient, &errors.first),
            squared_error: errors.squared_error,
            squared_bias: errors.squared_bias,
            learning_indicator: None,
            kept_bytes,
            copy: copy.unwrap_or_default(),
        }))
    }

    /// Goes over the batch `draws` times with all codecs of `plan` together, and compares the gradients of
    /// all parameters. What the plan recomputes is not recomputed here, which changes no gradient. `settle`
    /// may let codecs that remember see another batch beforehand.
    ///
    /// # Errors
    /// Returns an error if the plan does not fit the network, or a pass or `settle` fails.
    pub fn planned<E: From<Error>>(
        &self,
        plan: &Plan,
        settle: impl FnOnce() -> std::result::Result<(), E>,
        draws: u64,
    ) -> std::result::Result<Errors, E> {
        let layers = self.parameters.save_points();
        let _exact = ExactCodecs::put_on(layers)?;
        plan.apply(layers).map_err(Error::from)?;
        settle()?;
        let errors: Result<Errors> =
            Errors::over(draws, &self.gradient, |draw| self.compressed(draw));
        Ok(errors?)
    }

    /// Tries several codecs, each at its layer, in `draws` passes, and compares the gradients of all parameters.
    /// Returns why a codec cannot pack its input, if one cannot.
    ///
    /// # Errors
    /// Returns an error if the pass fails for another reason.
    pub fn together(
        &self,
        trials: &[Trial],
        draws: u64,
    ) -> Result<std::result::Result<Errors, String>> {
        let _exact = ExactCodecs::put_on(self.parameters.save_points())?;
        for trial in trials {
            put_on(trial, self.parameters)?;
        }
        self.over(draws, |draw| self.compressed(draw))
    }

    /// The gradients of all parameters with the codecs that the layers have.
    fn compressed(&self, draw: u64) -> Result<Vec<f64>> {
        let gradients = backward(&self.loss, &self.pass.clone().with_codec_draw(draw))?;
        flattened(self.parameters, &gradients, "compressed")
    }

    /// How far draws are from the exact gradients, or why a codec cannot pack.
    fn over(
        &self,
        draws: u64,
        gradients: impl FnMut(u64) -> Result<Vec<f64>>,
    ) -> Result<std::result::Result<Errors, String>> {
        match Errors::over(draws, &self.gradient, gradients) {
            Ok(errors) => Ok(Ok(errors)),
            Err(error) => error.refusal().map(Err).ok_or(error),
        }
    }
}

/// Lets the codecs of trials see a batch, so that those that remember have settled: their states
/// afterwards are in the trials. All other layers are exact.
///
/// # Errors
/// Returns an error if a pass fails for another reason than that a codec cannot pack an input.
pub fn settle(
    parameters: &Parameters,
    pass: &Pass,
    loss: impl Fn(&Pass) -> packlight_nn::Result<Tensor>,
    trials: &mut [Trial],
) -> Result<()> {
    let _exact = ExactCodecs::put_on(parameters.save_points())?;
    let pass = pass.clone().settle_codecs().saving_own_inputs();
    for trial in trials.iter_mut().filter(|trial| trial.codec.gradients().is_some()) {
        let _exact = ExactCodecs::put_on(parameters.save_points())?;
        let layer = put_on(trial, parameters)?;
        match backward(&loss, &pass) {
            Err(error) if error.refusal().is_none() => return Err(error),
            _ => trial.state = layer.codec_state().clone(),
        }
    }
    let packed =
        Arc::new(Settling(Mutex::new(trials.iter().map(|t| (t.clone(), false)).collect())));
    loss(&pass.with_observer(packed.clone()))?;
    let settled = packed.0.lock().unwrap_or_else(PoisonError::into_inner);
    for (trial, (settled, _)) in trials.iter_mut().zip(settled.iter()) {
        trial.state = settled.state.clone();
    }
    Ok(())
}

/// Gives a trial's layer its codec, and returns the layer.
fn put_on(trial: &Trial, parameters: &Parameters) -> Result<Arc<SavePoint>> {
    let layer = parameters.save_points().iter().find(|layer| layer.name() == &*trial.layer);
    let unused = || Error::Uses { layer: trial.layer.to_string(), times: 0 };
    let layer = layer.ok_or_else(unused)?;
    layer.set_codec(trial.codec.clone());
    *layer.codec_state() = trial.state.clone();
    Ok(layer.clone())
}

fn backward(
    loss: impl Fn(&Pass) -> packlight_nn::Result<Tensor>,
    pass: &Pass,
) -> Result<GradStore> {
    Ok(loss(pass)?.backward()?)
}

/// The gradients of all parameters that train, one after another.
fn flattened(parameters: &Parameters, store: &GradStore, which: &'static str) -> Result<Vec<f64>> {
    let mut all = Vec::new();
    for (name, var) in parameters.trained() {
        let missing = || Error::NoGradient { parameter: name.to_string(), which };
        all.extend(values(store.get(var).ok_or_else(missing)?)?);
    }
    Ok(all)
}

/// Tries codecs at each conv and linear layer of an exact pass.
struct Bench {
    trials: Vec<Trial>,
    /// With the number of the trial, in the order of the backward pass.
    outcomes: Mutex<Vec<(usize, Outcome)>>,
}

impl Bench {
    fn try_at(&self, seen: &WeightGradient<'_>) -> std::result::Result<(), String> {
        let here = |(_, trial): &(usize, &Trial)| *trial.layer == *seen.layer.name();
        let mut exact = None;
        for (number, trial) in self.trials.iter().enumerate().filter(here) {
            let exact: &Vec<f64> = match &mut exact {
                Some(exact) => exact,
                none => none.insert(values(seen.exact).map_err(|e| e.to_string())?),
            };
            let outcome = match try_one(seen, exact, trial) {
                Ok(effect) => Ok(effect),
                Err(error) => Err(error.refusal().ok_or_else(|| error.to_string())?),
            };
            let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
            outcomes.push((number, outcome));
        }
        Ok(())
    }

    /// The outcomes in the order of the trials.
    fn in_order(&self) -> Result<Vec<Outcome>> {
        let outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |(number, trial): (usize, &Trial)| {
            let mut found = outcomes.iter().filter(|(of, _)| *of == number);
            match (found.next(), found.count()) {
                (Some((_, outcome)), 0) => Ok(outcome.clone()),
                (first, more) => {
                    let times = usize::from(first.is_some()) + more;
                    Err(Error::Uses { layer: trial.layer.to_string(), times })
                }
            }
        };
        self.trials.iter().enumerate().map(of).collect()
    }
}

impl Observer for Bench {
    fn weight_gradient(&self, seen: &WeightGradient<'_>) -> std::result::Result<(), String> {
        self.try_at(seen)
    }
}

fn try_one(seen: &WeightGradient<'_>, exact: &[f64], trial: &Trial) -> Result<Effect> {
    let rows = Rows::of(seen.layer.kind());
    let mut kept_bytes = 0;
    let mut first = None;
    let errors = Errors::over(trial.draws, exact, |draw| {
        let attempt = seen.packed_by(&*trial.codec, draw, &mut trial.state.clone());
        let attempt = attempt.map_err(packlight_nn::Error::from)?;
        kept_bytes = kept_bytes.max(attempt.bytes.total() as u64);
        if first.is_none() {
            let indicator = learning_indicator(rows, seen.input, &attempt.restored)?;
            first = Some((indicator, attempt.copy.to_string()));
        }
        values(&attempt.gradient)
    })?;
    let (learning_indicator, copy) = first.unwrap_or_default();
    Ok(Effect {
        compared: Compared::Own,
        fidelity: fidelity_of(exact, &errors.first),
        squared_error: errors.squared_error,
        squared_bias: errors.squared_bias,
        learning_indicator,
        kept_bytes,
        copy,
    })
}

/// Observes what one layer saves.
struct Kept {
    layer: Arc<SavePoint>,
    copies: Mutex<Copies>,
}

impl Kept {
    /// The bytes of all copies, and what identifies the first.
    fn found(&self) -> (u64, String) {
        let copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = copies.iter().map(|(_, _, bytes)| *bytes as u64).sum();
        (bytes, copies.first().map(|(_, copy, _)| copy.clone()).unwrap_or_default())
    }
}

impl Observer for Kept {
    fn weight_gradient(&self, _: &WeightGradient<'_>) -> std::result::Result<(), String> {
        Ok(())
    }

    fn saved(&self, seen: &SavedTensor<'_>) -> std::result::Result<(), String> {
        if seen.layer.name() == self.layer.name() {
            saved_by(&mut self.copies.lock().unwrap_or_else(PoisonError::into_inner), seen);
        }
        Ok(())
    }
}

/// Has trials' codecs pack what their layers save first, and keeps their states.
struct Settling(Mutex<Vec<(Trial, bool)>>);

impl Observer for Settling {
    fn weight_gradient(&self, _: &WeightGradient<'_>) -> std::result::Result<(), String> {
        Ok(())
    }

    fn saved(&self, seen: &SavedTensor<'_>) -> std::result::Result<(), String> {
        let mut trials = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (trial, done) in trials.iter_mut() {
            let here = *trial.layer == *seen.layer.name();
            if here && !*done && trial.codec.gradients().is_none() {
                *done = true;
                let packed = seen.packed_by(&*trial.codec, 0, &mut trial.state);
                if let Err(error) = packed.map(drop)
                    && refusal(&error).is_none()
                {
                    return Err(error.to_string());
                }
            }
        }
        Ok(())
    }
}
