//! One training step, and its measurements.

use std::time::Instant;

use candle_core::Tensor;
use packlight_autograd::{Counter, EagerUpdates, Pass};
use packlight_kernels::rng::{Key, Purpose};
use packlight_nn::Model;
use packlight_nn::model::Inputs;
use packlight_probe::whole_pass;
use packlight_record::{Measurement, Record};

use crate::data::Batch;
use crate::evaluation::correct;
use crate::instrument::{Instrument, Instruments, Live};
use crate::machine::ResidentPeak;
use crate::run_trainer::RunTrainer;
use crate::{Error, Result};

/// The results of a step.
#[derive(Debug)]
pub(crate) struct Step {
    /// Mean loss over the batch, with label smoothing if the model uses it.
    pub(crate) loss: f64,
    /// Number of targets of the batch that count and were predicted correctly.
    pub(crate) correct: u64,
    /// Number of targets of the batch that count.
    pub(crate) units: u64,
    /// Seconds from the beginning of the forward pass to the end of the update.
    pub(crate) seconds: f64,
    pub(crate) records: Vec<Record>,
    pub(crate) measurements: Vec<Measurement>,
}

impl RunTrainer<'_> {
    /// Takes the next step, on the samples at `indices`, in epoch `epoch`.
    ///
    /// # Errors
    /// Returns [`Error::Diverged`] if training cannot continue because something is not finite; the
    /// parameters are then unchanged.
    pub(crate) fn step(
        &mut self,
        indices: &[usize],
        epoch: u64,
        instrument: Instrument,
    ) -> Result<Step> {
        let counter = Counter::of(&self.device);
        let live_before = counter.live();
        let (model, steps) = (&self.model, &mut self.trainer.steps);
        let step = steps.next_step();
        let augment = Key::new(steps.seed(), Purpose::Augment).step(step);
        let Batch { inputs, targets, units } =
            self.data.train.batch(indices, Some(augment), &self.device)?;
        let batch_loss =
            |pass: &Pass| forward(model, inputs.clone(), &targets, pass).map(|(loss, _)| loss);

        let mut measurements = Vec::new();
        let calibrates = steps.calibrates_next();
        let begun = Instant::now();
        let pass = steps.begin(batch_loss)?;
        if calibrates {
            let seconds = begun.elapsed().as_secs_f64();
            measurements.push(Measurement::Calibration { step, seconds });
        }

        // After the calibration, so that the codecs probed are those that train.
        let mut records = Vec::new();
        if instrument == Instrument::Probe && self.study.probe.whole {
            let draws = self.study.probe.draws;
            records = whole_pass(model.parameters(), &pass, batch_loss, draws, epoch, step)?;
        }

        let resident = match instrument {
            Instrument::Ledger { timeline: true } => ResidentPeak::begin(),
            _ => None,
        };
        let instruments = Instruments::new(instrument, &counter);
        let updates = EagerUpdates::default();
        let pass = instruments.attach(pass).with_eager_updates(&updates);
        counter.reset_peak();
        let begun = Instant::now();
        let (loss, logits) = forward(model, inputs, &targets, &pass)?;
        let value = steps.value(&loss)?;
        let correct = correct(model, &logits, &targets)?;
        drop(logits);
        // What is probed is looked at before it is used.
        let eagerly = self.updates_eagerly && instrument != Instrument::Probe;
        let gradients = match eagerly {
            true => self.trainer.update_eagerly(&updates, &loss).map(|()| None)?,
            false => Some(updates.collect(&loss)?),
        };
        let live = Live { before: live_before, peak: counter.peak() };
        drop(loss);
        records.extend(instruments.probed(model.save_points(), epoch, step));
        if let Some(reason) = records.iter().find_map(not_finite) {
            return Err(Error::Diverged { reason });
        }
        if let Some(gradients) = gradients {
            self.trainer.update(&gradients)?;
        }
        self.device.synchronize()?; // a card may still be at work
        let seconds = begun.elapsed().as_secs_f64();

        if let Some(peak) = resident.and_then(|resident| resident.bytes()) {
            measurements.push(Measurement::Resident { step, peak });
        }

        let mut found = Step { loss: value, correct, units, seconds, records, measurements };
        instruments.account(self.model.save_points(), step, &live, &mut found);
        Ok(found)
    }
}

/// Computes the scalar loss of a batch, and its logits without their graph.
///
/// It takes the inputs by value, so that only what the save points save of them remains in memory.
pub(crate) fn forward(
    model: &Model,
    inputs: Inputs,
    targets: &Tensor,
    pass: &Pass,
) -> packlight_nn::Result<(Tensor, Tensor)> {
    let logits = model.logits(&inputs, pass)?;
    drop(inputs);
    let loss = model.loss(&logits, targets)?;
    Ok((loss, logits.data().clone()))
}

/// The reason why training cannot continue after a record of a gradient, if there is one.
fn not_finite(record: &Record) -> Option<String> {
    let (name, step, fidelity) = match record {
        Record::Gradient { layer, step, fidelity, .. } => (layer, step, fidelity),
        Record::WholeGradient { parameter, step, fidelity, .. } => (parameter, step, fidelity),
        _ => return None,
    };
    let norm = fidelity.exact_norm;
    (!norm.is_finite()).then(|| format!("the gradient of {name} has norm {norm} at step {step}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;
    use crate::data;
    use crate::spec::read_study;

    /// A study of images with large pixels, without a probe.
    const TEXT: &str = r#"
name = "tiny"
title = "A study for tests"
seeds = [3]
epochs = 1
batch = 16

[model]
name = "mlp"
hidden = [8]

[data]
name = "digits"
size = 8
train_limit = 16
test_limit = 16
normalise = { mean = [0.0], std = [0.001] }

[plans]
none = "none"

[optimizer]
name = "sgd"
learning_rate = 0.1
"#;

    fn values(tensors: &BTreeMap<String, Tensor>) -> Vec<f32> {
        tensors.values().flat_map(|t| t.flatten_all().unwrap().to_vec1::<f32>().unwrap()).collect()
    }

    #[test]
    fn a_gradient_that_is_not_finite_is_found_before_the_update() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(packlight_record::layout::STUDY), TEXT).unwrap();
        let study = read_study(dir.path(), None).unwrap();
        let data = data::load(&study.data, None::<&Path>).unwrap();
        let model = data.model(&study.model).unwrap();
        let mut trainer = RunTrainer::new(&study, &data, &model, &study.plans[0], 3).unwrap();
        // Hidden features next to 0, times weights next to the largest number: the loss is finite,
        // and so are all gradients except that of the first weight, which large pixels multiply.
        let mut tensors = trainer.model.parameters().tensors().unwrap();
        let filled = |t: &Tensor, value: f64| (t.zeros_like().unwrap() + value).unwrap();
        let first = filled(&tensors["fc1.weight"], 1e-38);
        tensors.insert("fc1.weight".into(), first);
        let bias = filled(&tensors["fc1.bias"], 1e-36);
        tensors.insert("fc1.bias".into(), bias);
        let second = filled(&tensors["fc2.weight"], 0.0);
        let row = filled(&second.narrow(0, 0, 1).unwrap(), 1e38);
        let rest = second.narrow(0, 1, 9).unwrap();
        tensors.insert("fc2.weight".into(), Tensor::cat(&[&row, &rest], 0).unwrap());
        trainer.model.parameters().set(&tensors).unwrap();

        let order = trainer.order(0);
        let error = trainer.step(&order, 0, Instrument::None).unwrap_err();
        let reason = error.divergence(0).unwrap();
        assert_eq!(reason, "the gradient of fc1.weight is not finite at step 0");
        let after = trainer.model.parameters().tensors().unwrap();
        assert_eq!(values(&after), values(&tensors), "parameters are as they were");
    }
}
