//! One forward pass, and the backward pass that may follow.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::rng::{Key, Purpose};

use crate::{EagerUpdates, Ledger, Observer};

/// A trial: save points pack at another level, with the `draw`-th random numbers.
#[derive(Clone)]
struct Trial {
    layers: Arc<[Arc<str>]>,
    level: u8,
    draw: u64,
}

impl Trial {
    fn is_of(&self, layer: &str) -> bool {
        self.layers.iter().any(|own| **own == *layer)
    }
}

/// What all operations of one forward and backward pass share.
#[derive(Clone)]
pub struct Pass {
    training: bool,
    differentiate: bool,
    again: bool,
    own_inputs: bool,
    seed: u64,
    step: u64,
    draw: u64,
    trial: Option<Trial>,
    update_statistics: bool,
    update_codec_states: bool,
    ledger: Option<Ledger>,
    observer: Option<Arc<dyn Observer>>,
    eager_updates: Option<EagerUpdates>,
    activations: Option<DType>,
}

impl Pass {
    /// A pass that saves what its backward pass needs, normalises with batch statistics and applies
    /// dropout.
    pub fn training() -> Self {
        Self {
            training: true,
            differentiate: true,
            again: false,
            own_inputs: false,
            seed: 0,
            step: 0,
            draw: 0,
            trial: None,
            update_statistics: true,
            update_codec_states: true,
            ledger: None,
            observer: None,
            eager_updates: None,
            activations: None,
        }
    }

    /// A pass that saves nothing, normalises with running statistics and applies no dropout.
    pub fn evaluation() -> Self {
        Self { training: false, differentiate: false, ..Self::training() }
    }

    /// Sets the seed and step, which determine all random numbers of this pass.
    pub fn with_seed(self, seed: u64, step: u64) -> Self {
        Self { seed, step, ..self }
    }

    /// Makes every save point save its own input, regardless of
    /// [`Activation::save_as`](crate::Activation::save_as).
    pub fn saving_own_inputs(self) -> Self {
        Self { own_inputs: true, ..self }
    }

    pub(crate) fn saves_own_inputs(&self) -> bool {
        self.own_inputs
    }

    /// Gives codecs other random numbers, the `draw`-th of this seed and step; everything else
    /// stays the same.
    pub fn with_codec_draw(self, draw: u64) -> Self {
        Self { draw, ..self }
    }

    /// Packs the save point called `layer` at a level such as a number of bits, with the `draw`-th
    /// random numbers, and leaves all others as they are; see
    /// [`packlight_codec::Adaptive::measure`].
    pub fn with_trial(self, layer: &str, level: u8, draw: u64) -> Self {
        Self { trial: Some(Trial { layers: [layer.into()].into(), level, draw }), ..self }
    }

    /// Packs all save points of these names at a level, with the random numbers of the pass itself.
    pub fn with_trials<'a>(self, layers: impl IntoIterator<Item = &'a str>, level: u8) -> Self {
        let layers = layers.into_iter().map(Arc::from).collect();
        let trial = Trial { layers, level, draw: self.draw };
        Self { trial: Some(trial), ..self }
    }

    /// Counts what is saved in a ledger.
    pub fn with_ledger(self, ledger: &Ledger) -> Self {
        Self { ledger: Some(ledger.clone()), ..self }
    }

    /// Also computes the exact weight gradient of each conv and linear layer, and passes both
    /// gradients to the observer. The gradients that the pass returns are those of the plan.
    pub fn with_observer(self, observer: Arc<dyn Observer>) -> Self {
        Self { observer: Some(observer), ..self }
    }

    /// Has parameters updated during the backward pass, which [`EagerUpdates::backward`] runs.
    pub fn with_eager_updates(self, updates: &EagerUpdates) -> Self {
        Self { eager_updates: Some(updates.clone()), ..self }
    }

    /// Has activations computed and saved in this type from where they enter, whatever that of the parameters:
    /// bf16 on a CUDA device, beside parameters and statistics in f32.
    pub fn with_activations(self, dtype: DType) -> Self {
        Self { activations: Some(dtype), ..self }
    }

    /// The tensor as an activation: numbers that are no integers are cast to the type of activations.
    pub(crate) fn as_activation(&self, tensor: &Tensor) -> candle_core::Result<Tensor> {
        match self.activations {
            Some(dtype) if tensor.dtype().is_float() => tensor.to_dtype(dtype),
            _ => Ok(tensor.clone()),
        }
    }

    /// Leaves running statistics and codec states unchanged, for a second pass over the same batch.
    pub fn freeze_statistics(self) -> Self {
        Self { update_statistics: false, update_codec_states: false, ..self }
    }

    /// Leaves running statistics unchanged, but lets codecs update their states, for a pass after which
    /// they have settled.
    pub fn settle_codecs(self) -> Self {
        Self { update_statistics: false, update_codec_states: true, ..self }
    }

    /// Whether layers behave as in training: batch statistics, dropout.
    pub fn is_training(&self) -> bool {
        self.training
    }

    /// This pass for the forward pass of a part that will be recomputed: it saves nothing, and no
    /// backward pass may follow.
    pub(crate) fn saving_nothing(self) -> Self {
        Self { differentiate: false, ..self }
    }

    /// This pass for recomputing such a part. Codecs pack only here, so this pass updates their
    /// state. Gradients within it go to the operation that recomputes.
    pub(crate) fn again(self) -> Self {
        Self { again: true, eager_updates: None, ..self }
    }

    pub(crate) fn is_again(&self) -> bool {
        self.again
    }

    /// Whether a backward pass may follow.
    pub(crate) fn differentiates(&self) -> bool {
        self.differentiate
    }

    pub(crate) fn updates_statistics(&self) -> bool {
        self.training && self.update_statistics && !self.again
    }

    /// Whether codecs may update their state.
    pub(crate) fn updates_codec_states(&self) -> bool {
        self.training && self.update_codec_states
    }

    pub(crate) fn ledger(&self) -> Option<&Ledger> {
        self.ledger.as_ref()
    }

    pub(crate) fn observer(&self) -> Option<&Arc<dyn Observer>> {
        self.observer.as_ref()
    }

    pub(crate) fn eager_updates(&self) -> Option<&EagerUpdates> {
        self.eager_updates.as_ref()
    }

    pub(crate) fn key(&self, purpose: Purpose, layer: &str) -> Key {
        let key = Key::new(self.seed, purpose).layer(layer).step(self.step);
        let trial = self.trial.as_ref().filter(|trial| trial.is_of(layer));
        match (purpose, trial.map_or(self.draw, |trial| trial.draw)) {
            (Purpose::Codec, draw @ 1..) => key.layer(&draw.to_string()),
            _ => key,
        }
    }

    /// The trial level of the save point called `layer`.
    pub(crate) fn trial(&self, layer: &str) -> Option<u8> {
        self.trial.as_ref().filter(|trial| trial.is_of(layer)).map(|trial| trial.level)
    }
}
