//! Trainings of a few updates, with one codec at one layer or with none.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use packlight_autograd::{Pass, SavePoint};
use packlight_nn::Model;
use packlight_probe::one_on::Trial;
use packlight_spec::SensitivitySpec;

use super::sample::{SETTLING, augmented_batch};
use crate::checkpoint::{Checkpoint, Position};
use crate::data::Batch;
use crate::evaluation::scalar;
use crate::run_trainer::RunTrainer;
use crate::step::forward;
use crate::{Error, Result};

/// How many whole batches the fixed sample has, on which losses are compared. They are of the training part, whose
/// samples the trainings see in other batches: what is compared is the loss that training minimises, not another one.
const FIXED: u64 = 4;
/// How far apart the numbers of batches lie that follow each other, so that no training sees a batch of
/// another one, or of the fixed sample.
const APART: u64 = SensitivitySpec::MOST + 1;
/// What the losses of a training cost, in passes forward and back: the fixed sample goes forward twice, which
/// is about a third of a pass.
pub(super) const LOSSES: f64 = 2.0 * FIXED as f64 / 3.0;

/// A batch with its number, which determines it and the random numbers of a pass over it.
type Numbered = (u64, Batch);

/// Losses on the fixed sample; `None` where something is not finite.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Losses {
    pub(super) after_one: Option<f64>,
    pub(super) after_all: Option<f64>,
}

/// Trainings from one state, of weights, running statistics and the optimizer, over the same batches.
pub(super) struct Updates<'a, 'b> {
    trainer: &'a mut RunTrainer<'b>,
    start: Checkpoint,
    batches: Vec<Numbered>,
    fixed: Vec<Numbered>,
}

impl<'a, 'b> Updates<'a, 'b> {
    /// Trainings from the present state of an exact training, of `count` updates of which the first is on
    /// the measured batch of this number.
    ///
    /// # Errors
    /// Returns an error if a tensor cannot be copied or a batch not made.
    pub(super) fn new(trainer: &'a mut RunTrainer<'b>, batch: u64, count: u64) -> Result<Self> {
        let from = |first: u64, count: u64| -> Result<Vec<Numbered>> {
            let numbers = (0..count).map(|k| first + k * APART);
            numbers.map(|number| Ok((number, augmented_batch(trainer, number)?))).collect()
        };
        let batches = from(SETTLING + 1 + batch, count)?;
        let fixed = from(SETTLING, FIXED)?;
        let step = trainer.trainer.steps.next_step();
        let start = trainer.checkpoint(Position { step, ..Position::default() })?;
        Ok(Self { trainer, start, batches, fixed })
    }

    /// Trains with the codec of `trial` at its layer, or exactly, and goes back to the start.
    ///
    /// # Errors
    /// Returns an error if a step fails for another reason than that something is not finite;
    /// [`Error::Interrupted`] when asked to stop.
    pub(super) fn losses(
        &mut self,
        trial: Option<&Trial>,
        interrupted: &AtomicBool,
    ) -> Result<Losses> {
        let mut losses = Losses::default();
        let layer = trial.and_then(|trial| self.layer(trial));
        let exact = layer.as_ref().map(|layer| layer.codec());
        if let (Some(layer), Some(trial)) = (&layer, trial) {
            layer.set_codec(trial.codec.clone());
            *layer.codec_state() = trial.state.clone();
        }
        let trained = self.train(&mut losses, interrupted);
        if let (Some(layer), Some(exact)) = (layer, exact) {
            layer.set_codec(exact);
        }
        self.trainer.go_to(&self.start)?;
        match trained {
            Err(error) if error.divergence(self.start.position.step).is_none() => Err(error),
            _ => Ok(losses),
        }
    }

    fn layer(&self, trial: &Trial) -> Option<Arc<SavePoint>> {
        let mut layers = self.trainer.model.save_points().iter();
        layers.find(|layer| *layer.name() == *trial.layer).cloned()
    }

    /// The updates have the learning rates of the steps that follow the start, or of the last ones where
    /// fewer follow: a schedule that ends at 0 would show nothing.
    fn train(&mut self, losses: &mut Losses, interrupted: &AtomicBool) -> Result<()> {
        let RunTrainer { model, trainer, .. } = &mut *self.trainer;
        let seed = trainer.steps.seed();
        let last = trainer.steps.total().saturating_sub(self.batches.len() as u64);
        trainer.steps.go_to(self.start.position.step.min(last));
        for (number, Batch { inputs, targets, .. }) in &self.batches {
            if interrupted.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            trainer.step(|pass| {
                let pass = pass.clone().with_seed(seed, *number).saving_own_inputs();
                forward(model, inputs.clone(), targets, &pass).map(|(loss, _)| loss)
            })?;
            if losses.after_one.is_none() {
                losses.after_one = Some(mean_loss(model, seed, &self.fixed)?);
            }
        }
        losses.after_all = match self.batches.len() {
            1 => losses.after_one,
            _ => Some(mean_loss(model, seed, &self.fixed)?),
        };
        Ok(())
    }
}

/// The loss that training minimises, with the same dropout each time, but without an update of running
/// statistics: those of the first steps say little of the weights.
fn mean_loss(model: &Model, seed: u64, batches: &[Numbered]) -> Result<f64> {
    let mut sum = 0.0;
    for (number, Batch { inputs, targets, .. }) in batches {
        let pass = Pass::training().with_seed(seed, *number).freeze_statistics();
        let (loss, _) = forward(model, inputs.clone(), targets, &pass.saving_own_inputs())?;
        sum += scalar(&loss)?;
    }
    let mean = sum / batches.len() as f64;
    match mean.is_finite() {
        true => Ok(mean),
        false => Err(Error::Diverged { reason: format!("the loss on the fixed sample is {mean}") }),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use packlight_codec::CodecState;
    use packlight_record::layout::STUDY;
    use packlight_spec::NamedPlan;

    use super::super::sample::weights_digest;
    use super::*;
    use crate::data;
    use crate::instrument::Instrument;
    use crate::spec::read_study;

    const TEXT: &str = r#"
name = "tiny"
title = "A study for tests"
seeds = [3]
epochs = 4
batch = 16

[model]
name = "mlp"
hidden = [16]

[data]
name = "digits"
size = 8
train_limit = 64
test_limit = 16

[plans]
none = "none"

[optimizer]
name = "adamw"
learning_rate = 0.01

[schedule]
name = "cosine"
"#;

    /// The losses after three updates by a network whose plan has the codec, on the same batches.
    fn by_hand(trainer: &mut RunTrainer<'_>, batches: &[u64], step: u64) -> [f64; 2] {
        let (mut after, fixed) = (Vec::new(), (0..FIXED).map(|k| SETTLING + k * APART));
        let fixed: Vec<Numbered> =
            fixed.map(|n| (n, augmented_batch(trainer, n).unwrap())).collect();
        trainer.trainer.steps.go_to(step);
        for &number in batches {
            let batch = augmented_batch(trainer, number).unwrap();
            let pass = Pass::training().with_seed(3, number);
            let _ = trainer.trainer.steps.begin(|_| unreachable!("nothing calibrates")).unwrap();
            let (loss, _) = forward(&trainer.model, batch.inputs, &batch.targets, &pass).unwrap();
            trainer.trainer.update(&loss.backward().unwrap()).unwrap();
            after.push(mean_loss(&trainer.model, 3, &fixed).unwrap());
        }
        [after[0], after[2]]
    }

    #[test]
    fn losses_are_those_of_a_plan_with_the_codec_and_the_training_goes_on_as_if_nothing_was() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(STUDY), TEXT).unwrap();
        let study = read_study(dir.path(), None).unwrap();
        let data = data::load(&study.data, None::<&Path>).unwrap();
        let model = data.model(&study.model).unwrap();
        let plan = NamedPlan::unnamed;
        let plans = [plan("none"), plan("fc2=q1")];
        let interrupted = AtomicBool::new(false);
        // Two steps from the start; at the end, whose updates have the last steps' learning rates.
        for (done, first) in [(2, 2), (16, 13)] {
            let trained = |plan| {
                let mut trainer = RunTrainer::new(&study, &data, &model, plan, 3).unwrap();
                for step in 0..done {
                    // Exactly, whatever the plan says.
                    let layers = trainer.model.save_points().to_vec();
                    let own: Vec<_> = layers.iter().map(|layer| layer.codec()).collect();
                    let none = packlight_codec::parse("none").unwrap();
                    layers.iter().for_each(|layer| layer.set_codec(none.clone()));
                    let order = trainer.order(step / 4);
                    let samples = &order[(step % 4) as usize * 16..][..16];
                    trainer.step(samples, step / 4, Instrument::None).unwrap();
                    layers.iter().zip(own).for_each(|(layer, codec)| layer.set_codec(codec));
                }
                trainer
            };
            let mut trainer = trained(&plans[0]);
            let before = weights_digest(&trainer).unwrap();
            let (layer, codec) = ("fc2".into(), packlight_codec::parse("q1").unwrap());
            let trial = Trial { layer, codec, draws: 1, state: CodecState::default() };
            let mut updates = Updates::new(&mut trainer, 1, 3).unwrap();
            let mut losses = |trial| {
                let found = updates.losses(trial, &interrupted).unwrap();
                [found.after_one.unwrap(), found.after_all.unwrap()]
            };
            let (exact, with) = (losses(None), losses(Some(&trial)));
            assert_eq!(
                [losses(None), losses(Some(&trial))],
                [exact, with],
                "each from the same state"
            );
            assert!(exact[0] != with[0] && exact[1] != with[1]);
            let batches = [0, 1, 2].map(|k| SETTLING + 2 + k * APART);
            for (plan, found) in plans.iter().zip([exact, with]) {
                assert_eq!(by_hand(&mut trained(plan), &batches, first), found, "{}", plan.spec);
            }
            let after = weights_digest(&trainer).unwrap();
            assert_eq!(sha2::Digest::finalize(after), sha2::Digest::finalize(before));
            assert_eq!(trainer.trainer.steps.next_step(), done);
            assert!(trainer.model.save_points().iter().all(|layer| layer.codec().spec() == "none"));
        }
    }
}
