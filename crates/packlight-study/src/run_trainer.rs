//! The training loop of one run.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use candle_core::{DType, Device};
use packlight_kernels::rng::{Key, Purpose};
use packlight_nn::optimizer::Resumable;
use packlight_nn::weights::File;
use packlight_nn::{Fault, Model, ModelSpec, Plan, Trainer, codec_state};
use packlight_record::{Measurement, Record};
use packlight_spec::{NamedPlan, Precision};

use crate::adaptive::Adaptive;
use crate::checkpoint::{CHECKPOINT, Checkpoint, Position, Sums};
use crate::data::DataSet;
use crate::device::open_device;
use crate::evaluation::evaluate;
use crate::instrument::Instrument;
use crate::logs::Logs;
use crate::origin::Origin;
use crate::progress::{Event, Progress};
use crate::spec::{Study, build_optimizer};
use crate::translation::translation_bleu;
use crate::{Error, Result};

/// The file in a finished run's folder that holds its weights: parameters and running statistics,
/// under PyTorch's names.
pub const WEIGHTS: &str = "weights.safetensors";

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// All epochs are done.
    Finished,
    /// The loss or a gradient was not finite.
    Diverged(String),
}

/// What a run needs from outside while it trains.
pub(crate) struct Watch<'a> {
    pub(crate) progress: &'a mut dyn Progress,
    pub(crate) interrupted: &'a AtomicBool,
    pub(crate) checkpoint_every: Duration,
}

/// Trains one model with one plan and one seed.
///
/// The seed, the epoch and the step determine which samples a step sees, how they are augmented and
/// what dropout drops. So a position and the tensors are all that a resumed run needs.
pub(crate) struct RunTrainer<'a> {
    pub(crate) study: &'a Study,
    pub(crate) data: &'a DataSet,
    pub(crate) plan: &'a NamedPlan,
    pub(crate) epochs: u64,
    pub(crate) device: Device,
    pub(crate) model: Model,
    /// Takes the steps. The number of its next step is the position's.
    pub(crate) trainer: Trainer<Box<dyn Resumable>>,
    /// Whether it updates parameters during the backward pass.
    pub(crate) updates_eagerly: bool,
    /// Finds the codecs in the course of the training, if the plan is adaptive.
    pub(crate) adaptive: Option<Adaptive>,
}

impl<'a> RunTrainer<'a> {
    /// Makes a model from `seed` or from the study's weights, with the codecs of `plan`, and its
    /// optimizer.
    ///
    /// # Errors
    /// Returns an error if the plan or the study's weights do not fit the model, of which the error names
    /// the tensor; if an adaptive plan cannot keep within its budget; or if the study's device cannot be
    /// used.
    pub(crate) fn new(
        study: &'a Study,
        data: &'a DataSet,
        model: &ModelSpec,
        plan: &'a NamedPlan,
        seed: u64,
    ) -> Result<Self> {
        let device = open_device(study.device)?;
        let exact_first = plan.adaptive.is_some();
        let unfit = |source: packlight_nn::Error| Error::Plan {
            plan: plan.name.clone(),
            source: source.into(),
        };
        let parsed = Plan::parse(if exact_first { "none" } else { &plan.spec }).map_err(unfit)?;
        let updates_eagerly = parsed.memory_strategy().updates_eagerly;
        let model = Model::planned(model, &parsed, seed, DType::F32, &device).map_err(unfit)?;
        let model = match study.precision {
            Precision::F32 => model,
            Precision::Bf16 if device.is_cuda() => model.with_activations(DType::BF16),
            Precision::Bf16 => return Err(Error::Precision),
        };
        if let Some(weights) = &study.weights {
            model.start_from(&File::open(weights.path())?)?;
        }
        let optimizer = build_optimizer(&study.optimizer, model.parameters())?;
        let epochs = study.epochs_of(plan);
        let steps = epochs.saturating_mul(steps_per_epoch(study, data));
        let trainer = Trainer::new(model.parameters(), optimizer, seed, steps)
            .with_schedule(study.schedule.clone());
        let adaptive = None;
        let mut made =
            Self { study, data, plan, epochs, device, model, trainer, updates_eagerly, adaptive };
        let adaptation = study.adaptation_of(plan);
        let invalid = |fault: Fault| Error::Adaptive {
            plan: plan.name.clone(),
            reason: fault.within("adaptive").to_string(),
        };
        if let Some(adaptation) = adaptation.map_err(invalid)? {
            made.adapt(&adaptation)?;
        }
        Ok(made)
    }

    /// Restores the checkpoint at `path` and returns its position, or `None` if there is none.
    ///
    /// # Errors
    /// Returns an error if the checkpoint is damaged or does not fit the model.
    pub(crate) fn restore(&mut self, path: &Path) -> Result<Option<Position>> {
        let Some(saved) = Checkpoint::load(path, &self.device)? else {
            return Ok(None);
        };
        if let Some(plan) = &saved.plan {
            self.use_codecs(plan)?; // before the states of these codecs
        }
        self.go_to(&saved).map_err(|e| Error::checkpoint(path, e.to_string()))?;
        Ok(Some(saved.position))
    }

    /// Takes on the state of a checkpoint.
    ///
    /// # Errors
    /// Returns an error if it does not fit the model.
    pub(crate) fn go_to(&mut self, saved: &Checkpoint) -> packlight_nn::Result<()> {
        self.model.parameters().set(&saved.model)?;
        self.trainer.optimizer.set_state(&saved.optimizer)?;
        codec_state::restore(self.model.save_points(), &saved.memory)?;
        self.trainer.steps.go_to(saved.position.step);
        Ok(())
    }

    /// Trains from `position` to the end.
    ///
    /// # Errors
    /// Returns [`Error::Interrupted`] when asked to stop, after writing a checkpoint, or another
    /// error if something cannot be computed, read or written.
    pub(crate) fn train(
        &mut self,
        folder: &Path,
        mut position: Position,
        watch: &mut Watch<'_>,
    ) -> Result<Ending> {
        let mut logs = Logs::open(folder, &position)?;
        if position.step == 0 {
            if let Some(reason) = self.prepare_step(folder, &mut position, &mut logs, watch)? {
                return diverged(reason, &mut position, &mut logs);
            }
            self.record_layers(&mut logs)?;
        }
        let mut saved = Instant::now();
        while position.epoch < self.epochs {
            let order = self.order(position.epoch);
            for indices in order.chunks(self.study.batch).skip(position.batch as usize) {
                let prepared = self.prepare_step(folder, &mut position, &mut logs, watch)?;
                if let Some(reason) = prepared {
                    return diverged(reason, &mut position, &mut logs);
                }
                if let Some(reason) = self.advance(indices, &mut position, &mut logs)? {
                    return diverged(reason, &mut position, &mut logs);
                }
                let loss = position.sums.last_loss;
                watch.progress.event(Event::Step { step: position.step, loss });
                let interrupted = watch.interrupted.load(Ordering::Relaxed);
                if interrupted || saved.elapsed() >= watch.checkpoint_every {
                    self.save(folder, &mut position, &mut logs)?;
                    saved = Instant::now();
                }
                if interrupted {
                    return Err(Error::Interrupted);
                }
            }
            if let Some(reason) = self.end_epoch(&mut position, &mut logs, watch.progress)? {
                return diverged(reason, &mut position, &mut logs);
            }
            self.save(folder, &mut position, &mut logs)?;
            saved = Instant::now();
        }
        let (seed, path) = (self.trainer.steps.seed(), folder.join(WEIGHTS));
        let last = self.adaptive.as_ref().map_or(&self.plan.spec, |adaptive| &adaptive.plan);
        Origin::of(&self.model, (self.plan, last), self.study, self.data, seed)
            .save(&self.model, &path)?;
        logs.record(&Record::Finished { step: position.step })?;
        logs.sync(&mut position)?;
        Ok(Ending::Finished)
    }

    /// The number of optimizer steps of the whole run.
    pub(crate) fn total_steps(&self) -> u64 {
        self.trainer.steps.total()
    }

    /// The order of the training samples in an epoch.
    pub(crate) fn order(&self, epoch: u64) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.data.train.len()).collect();
        Key::new(self.trainer.steps.seed(), Purpose::Shuffle)
            .step(epoch)
            .stream()
            .shuffle(&mut order);
        order.truncate(samples_per_epoch(self.study, self.data));
        order
    }

    /// The instrument for step `step` of `epoch`: the probe where the study says so, and the ledger
    /// at the first other step of each epoch, with its timeline at the first such step of the run. The
    /// run's first step is neither's, because some codecs still calibrate there.
    fn instrument(&self, epoch: u64, step: u64) -> Instrument {
        let (probe, total) = (&self.study.probe, self.total_steps());
        let epoch_start = epoch * steps_per_epoch(self.study, self.data);
        let first_since = |start| probe.first_for_ledger(start..step + 1, total) == Some(step);
        if probe.includes(step, total) {
            Instrument::Probe
        } else if first_since(epoch_start) {
            Instrument::Ledger { timeline: first_since(0) }
        } else {
            Instrument::None
        }
    }

    fn record_layers(&self, logs: &mut Logs) -> Result<()> {
        for layer in self.model.save_points() {
            logs.record(&Record::Layer {
                layer: layer.name().to_owned(),
                kind: layer.kind(),
                codec: layer.codec().spec(),
            })?;
        }
        Ok(())
    }

    /// Allocates codecs before the next step, if that is due; returns a reason if training cannot continue.
    fn prepare_step(
        &mut self,
        folder: &Path,
        position: &mut Position,
        logs: &mut Logs,
        watch: &mut Watch<'_>,
    ) -> Result<Option<String>> {
        match self.reallocate(position.step, watch.interrupted, watch.progress) {
            Ok(None) => {}
            Ok(Some(found)) => {
                logs.record(&found.record)?;
                logs.measure(&found.measurement)?;
                position.sums.seconds += found.seconds;
            }
            Err(Error::Interrupted) => {
                self.save(folder, position, logs)?;
                return Err(Error::Interrupted);
            }
            Err(error) => return error.divergence(position.step).map(Some).ok_or(error),
        }
        Ok(None)
    }

    /// Takes one step; returns a reason if training cannot continue.
    fn advance(
        &mut self,
        indices: &[usize],
        position: &mut Position,
        logs: &mut Logs,
    ) -> Result<Option<String>> {
        let instrument = self.instrument(position.epoch, position.step);
        let found = match self.step(indices, position.epoch, instrument) {
            Ok(found) => found,
            Err(error) => return error.divergence(position.step).map(Some).ok_or(error),
        };
        found.records.iter().try_for_each(|record| logs.record(record))?;
        found.measurements.iter().try_for_each(|measurement| logs.measure(measurement))?;
        position.batch += 1;
        position.step += 1;
        let sums = &mut position.sums;
        sums.loss += found.loss * found.units as f64;
        sums.last_loss = found.loss;
        sums.correct += found.correct;
        sums.units += found.units;
        if instrument != Instrument::Probe {
            sums.timed_steps += 1;
            sums.seconds += found.seconds;
        }
        Ok(None)
    }

    /// Evaluates and records the epoch that has ended, and moves the position to the next one.
    fn end_epoch(
        &self,
        position: &mut Position,
        logs: &mut Logs,
        progress: &mut dyn Progress,
    ) -> Result<Option<String>> {
        let Position { epoch, step, sums, .. } = *position;
        let begun = Instant::now();
        let test = match evaluate(&self.model, &self.data.test, self.study.batch, &self.device) {
            Err(e @ Error::NotFinite { .. }) => return Ok(Some(format!("after step {step} {e}"))),
            test => test?,
        };
        let (split, batch) = (&self.data.test, self.study.batch);
        let test_bleu = translation_bleu(&self.model, split, batch, &self.device)?;
        let test_seconds = begun.elapsed().as_secs_f64();
        let train_loss = sums.loss / sums.units as f64;
        logs.record(&Record::Epoch {
            epoch,
            step,
            learning_rate: self.trainer.learning_rate(step.saturating_sub(1)),
            train_loss,
            train_accuracy: sums.correct as f64 / sums.units as f64,
            test_loss: test.loss,
            test_accuracy: test.accuracy(),
            test_perplexity: self.data.is_text().then(|| test.perplexity()).flatten(),
            test_bleu,
        })?;
        let (steps, train_seconds) = (sums.timed_steps, sums.seconds);
        logs.measure(&Measurement::Time { epoch, steps, train_seconds, test_seconds })?;
        progress.event(Event::Epoch {
            epoch: epoch + 1,
            of: self.epochs,
            train_loss,
            test_accuracy: test.accuracy(),
        });
        *position = Position { epoch: epoch + 1, batch: 0, sums: Sums::default(), ..*position };
        Ok(None)
    }

    fn save(&self, folder: &Path, position: &mut Position, logs: &mut Logs) -> Result<()> {
        logs.sync(position)?;
        self.checkpoint(*position)?.save(&folder.join(CHECKPOINT))
    }

    /// The checkpoint at a position.
    pub(crate) fn checkpoint(&self, position: Position) -> Result<Checkpoint> {
        Ok(Checkpoint {
            position,
            model: self.model.parameters().tensors()?,
            optimizer: self.trainer.optimizer.state()?,
            memory: codec_state::tensors(self.model.save_points()),
            plan: self.adaptive.as_ref().map(|adaptive| adaptive.plan.clone()),
        })
    }
}

/// The number of optimizer steps of an epoch.
pub(crate) fn steps_per_epoch(study: &Study, data: &DataSet) -> u64 {
    samples_per_epoch(study, data).div_ceil(study.batch) as u64
}

/// The number of training samples that an epoch uses.
fn samples_per_epoch(study: &Study, data: &DataSet) -> usize {
    let samples = data.train.len();
    let left_out = if study.drop_last { samples % study.batch } else { 0 };
    samples - left_out
}

fn diverged(reason: String, position: &mut Position, logs: &mut Logs) -> Result<Ending> {
    logs.record(&Record::Diverged { step: position.step, reason: reason.clone() })?;
    logs.sync(position)?;
    Ok(Ending::Diverged(reason))
}
