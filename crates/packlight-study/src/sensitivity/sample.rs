//! The batches on which single layers are measured.

use std::borrow::Cow;

use candle_core::{DType, Tensor};
use packlight_autograd::{Ledger, Pass};
use packlight_kernels::rng::{Key, Purpose};
use packlight_nn::ModelSpec;
use packlight_nn::course::Course;
use packlight_nn::model::Inputs;
use packlight_nn::optimizer::{AdamW, Sgd};
use packlight_probe::one_on::{OneOn, Outcome, Trial};
use packlight_probe::{Timed, Times, times};
use packlight_spec::OptimizerSpec;
use safetensors::tensor::View;
use sha2::{Digest, Sha256};

use crate::Result;
use crate::data::Batch;
use crate::run_trainer::RunTrainer;
use crate::step::forward;

/// The batch on which codecs that remember settle. Those that are measured come after it.
pub(super) const SETTLING: u64 = 0;

/// The loss of a batch in a pass.
type Loss<'a> = Box<dyn Fn(&Pass) -> packlight_nn::Result<Tensor> + 'a>;

/// A batch with the pass that goes over it. Its number and the seed determine both.
pub(crate) struct Sample<'a> {
    trainer: &'a RunTrainer<'a>,
    batch: Batch,
    pub(crate) pass: Pass,
}

impl<'a> Sample<'a> {
    /// The `number`-th whole batch of a training, augmented as there.
    ///
    /// # Errors
    /// Returns an error if the device runs out of memory.
    pub(super) fn new(trainer: &'a RunTrainer<'a>, number: u64) -> Result<Self> {
        Self::of(trainer, &whole_batch(trainer, number), number)
    }

    /// These training samples, with the random numbers of the `number`-th batch.
    ///
    /// # Errors
    /// Returns an error if the device runs out of memory.
    pub(crate) fn of(trainer: &'a RunTrainer<'a>, samples: &[usize], number: u64) -> Result<Self> {
        let seed = trainer.trainer.steps.seed();
        let augment = Key::new(seed, Purpose::Augment).step(number);
        let batch = trainer.data.train.batch(samples, Some(augment), &trainer.device)?;
        Ok(Self { trainer, batch, pass: Pass::training().with_seed(seed, number) })
    }

    /// The same with passes that a ledger counts.
    pub(crate) fn counted_by(self, ledger: &Ledger) -> Self {
        Self { pass: self.pass.with_ledger(ledger), ..self }
    }

    /// The loss in a pass.
    pub(crate) fn loss(&self, pass: &Pass) -> packlight_nn::Result<Tensor> {
        let Batch { inputs, targets, .. } = &self.batch;
        forward(&self.trainer.model, inputs.clone(), targets, pass).map(|(loss, _)| loss)
    }

    /// How memory rises and falls in a step of exact training on such a batch.
    ///
    /// # Errors
    /// Returns an error if the pass over shapes fails.
    pub(super) fn course(&self, model: &ModelSpec) -> Result<Course> {
        let Batch { inputs, targets, .. } = &self.batch;
        let state = match self.trainer.study.optimizer {
            OptimizerSpec::Sgd { .. } => Sgd::STATE,
            OptimizerSpec::Adamw { .. } => AdamW::STATE,
        };
        Ok(Course::of(model, inputs, targets, DType::F32, state)?)
    }

    /// How long codecs at layers and blocks take on such a batch.
    ///
    /// # Errors
    /// Returns an error if a pass fails.
    pub(super) fn times(&self, codecs: &[Timed]) -> Result<Times> {
        let parameters = self.trainer.model.parameters();
        Ok(times(parameters, &self.pass, |pass| self.loss(pass), codecs)?)
    }

    /// The exact gradients, and trials in the same pass.
    ///
    /// # Errors
    /// Returns an error if the pass fails or the exact gradient is not finite.
    pub(crate) fn one_on(&self, trials: &[Trial]) -> Result<(OneOn<'_, Loss<'_>>, Vec<Outcome>)> {
        let parameters = self.trainer.model.parameters();
        let loss: Loss<'_> = Box::new(|pass| self.loss(pass));
        Ok(OneOn::new(parameters, &self.pass, loss, trials)?)
    }

    /// SHA-256 of what determines a score: the state of the network, to which this adds the batch.
    pub(super) fn digest(&self, mut state: Sha256) -> String {
        let inputs = match &self.batch.inputs {
            Inputs::Images(images) => vec![images],
            Inputs::Pairs { source, target } => vec![source, target],
            Inputs::Text(tokens) => vec![tokens],
        };
        for tensor in inputs.into_iter().chain([&self.batch.targets]) {
            state.update(bytes(tensor));
        }
        crate::hex(&state.finalize())
    }
}

/// The training samples of the `number`-th whole batch of a training.
pub(crate) fn whole_batch(trainer: &RunTrainer<'_>, number: u64) -> Vec<usize> {
    let size = trainer.study.batch;
    let in_epoch = (trainer.data.train.len() / size).max(1) as u64;
    let order = trainer.order(number / in_epoch);
    order.into_iter().skip((number % in_epoch) as usize * size).take(size).collect()
}

/// That batch, augmented as in a training.
///
/// # Errors
/// Returns an error if the device runs out of memory.
pub(super) fn augmented_batch(trainer: &RunTrainer<'_>, number: u64) -> Result<Batch> {
    Ok(Sample::new(trainer, number)?.batch)
}

/// The beginning of that: the seed of random numbers, the weights and the running statistics.
///
/// # Errors
/// Returns an error if candle cannot copy them.
pub(super) fn weights_digest(trainer: &RunTrainer<'_>) -> Result<Sha256> {
    let mut state = Sha256::new();
    state.update(trainer.trainer.steps.seed().to_le_bytes());
    for (name, tensor) in trainer.model.parameters().tensors()? {
        state.update(name);
        state.update(bytes(&tensor));
    }
    Ok(state)
}

fn bytes(tensor: &Tensor) -> Cow<'_, [u8]> {
    View::data(tensor)
}
