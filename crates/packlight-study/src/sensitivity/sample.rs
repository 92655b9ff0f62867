//! The batches on which single layers are measured.

use std::borrow::Cow;

use candle_core::{DType, Tensor};
use packlight_autograd::Pass;
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
pub(super) struct Sample<'a> {
    trainer: &'a RunTrainer<'a>,
    batch: Batch,
    pub(super) pass: Pass,
}

impl<'a> Sample<'a> {
    /// The `number`-th whole batch of a training, augmented as there.
    ///
    /// # Errors
    /// Returns an error if the device runs out of memory.
    pub(super) fn new(trainer: &'a RunTrainer<'a>, number: u64) -> Result<Self> {
        let pass = Pass::training().with_seed(trainer.trainer.steps.seed(), number);
        Ok(Self { trainer, batch: whole_batch(trainer, number)?, pass })
    }

    /// The loss in a pass.
    pub(super) fn loss(&self, pass: &Pass) -> packlight_nn::Result<Tensor> {
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
    pub(super) fn one_on(&self, trials: &[Trial]) -> Result<(OneOn<'_, Loss<'_>>, Vec<Outcome>)> {
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

/// The `number`-th whole batch of a training, augmented as there.
///
/// # Errors
/// Returns an error if the device runs out of memory.
pub(super) fn whole_batch(trainer: &RunTrainer<'_>, number: u64) -> Result<Batch> {
    let (seed, size) = (trainer.trainer.steps.seed(), trainer.study.batch);
    let in_epoch = (trainer.data.train.len() / size).max(1) as u64;
    let order = trainer.order(number / in_epoch);
    let samples: Vec<usize> =
        order.into_iter().skip((number % in_epoch) as usize * size).take(size).collect();
    let augment = Key::new(seed, Purpose::Augment).step(number);
    Ok(trainer.data.train.batch(&samples, Some(augment), &trainer.device)?)
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
