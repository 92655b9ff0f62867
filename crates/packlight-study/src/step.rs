//! One training step, and what is looked at on the way.

use std::time::Instant;

use candle_core::Tensor;
use candle_core::backprop::GradStore;
use packlight_autograd::{Ledger, Pass, SavePoint, allocator};
use packlight_kernels::finite::is_finite;
use packlight_kernels::rng::{Key, Purpose};
use packlight_nn::codec_state;
use packlight_nn::model::Inputs;
use packlight_probe::{SideBySide, calibrate, whole_pass};
use packlight_record::{KeptKind, Measurement, Record, TimelinePoint};

use crate::Result;
use crate::data::Batch;
use crate::evaluation::{correct, scalar};
use crate::trainer::Trainer;

/// What a step is looked at with; never with both, since probing takes memory of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// Nothing.
    Nothing,
    /// The probe: the step is not timed, since probing takes time of its own.
    Probe,
    /// The ledger, with its timeline or without, which takes next to no time.
    Ledger { timeline: bool },
}

/// What a step found out.
#[derive(Debug)]
pub(crate) struct Step {
    /// Mean loss over the batch, smoothed where the model's is.
    pub(crate) loss: f64,
    /// Targets of the batch that count and were met.
    pub(crate) correct: u64,
    /// Targets of the batch that count.
    pub(crate) units: u64,
    /// Seconds from the beginning of the forward pass to the end of the update.
    pub(crate) seconds: f64,
    pub(crate) records: Vec<Record>,
    pub(crate) measurements: Vec<Measurement>,
    /// Why training cannot go on, if it cannot; the parameters are then as they were.
    pub(crate) diverged: Option<String>,
}

impl Trainer<'_> {
    /// Trains on the samples at `indices` as step `step` of epoch `epoch`.
    pub(crate) fn step(
        &mut self,
        indices: &[usize],
        epoch: u64,
        step: u64,
        look: Look,
    ) -> Result<Step> {
        let live_before = allocator::live();
        let augment = Key::new(self.seed, Purpose::Augment).step(step);
        let Batch { inputs, targets, units } =
            self.data.train.batch(indices, Some(augment), &self.device)?;
        let pass = Pass::training().with_seed(self.seed, step);

        let mut records = Vec::new();
        if look == Look::Probe && self.study.probe.whole {
            let loss =
                |pass: &Pass| self.loss(inputs.clone(), &targets, pass).map(|(loss, _)| loss);
            let draws = self.study.probe.draws;
            records = whole_pass(self.model.parameters(), &pass, loss, draws, epoch, step)?;
        }

        let begun = Instant::now();
        let calibrated = calibrate(
            self.model.parameters(),
            &pass,
            |pass| self.loss(inputs.clone(), &targets, pass).map(|(loss, _)| loss),
            step,
            self.total_steps(),
        )?;
        let seconds = begun.elapsed().as_secs_f64();
        let calibration = calibrated.then_some(Measurement::Calibration { step, seconds });

        let recorder = SideBySide::new();
        let ledger = if counting() { Ledger::with_counter(allocator::live) } else { Ledger::new() };
        let pass = match look {
            Look::Nothing => pass,
            Look::Probe => pass.with_observer(recorder.clone()),
            Look::Ledger { .. } => pass.with_ledger(&ledger),
        };
        allocator::reset_peak();
        let begun = Instant::now();
        let (loss, logits) = self.loss(inputs, &targets, &pass)?;
        let value = scalar(&loss)?;
        let mut found = Step {
            loss: value,
            correct: correct(&self.model, &logits, &targets)?,
            units,
            seconds: 0.0,
            records,
            measurements: calibration.into_iter().collect(),
            diverged: (!value.is_finite()).then(|| format!("the loss is {value} at step {step}")),
        };
        if found.diverged.is_some() {
            return Ok(found);
        }
        drop(logits);
        let gradients = loss.backward()?;
        let peak = allocator::peak();
        drop(loss);
        found.records.extend(recorder.records(self.model.save_points(), epoch, step));
        found.diverged = match found.records.iter().find_map(not_finite) {
            Some(reason) => Some(reason),
            None => self.not_finite(&gradients, step)?,
        };
        if found.diverged.is_some() {
            return Ok(found);
        }
        self.optimizer.update(&gradients, self.learning_rate(step))?;
        codec_state::allocate(self.model.save_points())?;
        found.seconds = begun.elapsed().as_secs_f64();
        if let Look::Ledger { timeline } = look {
            account(&ledger, step, &mut found);
            found
                .records
                .extend(self.model.save_points().iter().filter_map(|l| remembered(l, step)));
            if timeline {
                draw_timeline(&ledger, step, live_before, peak, &mut found);
            }
        }
        Ok(found)
    }

    /// The reason to stop that the first gradient which is not finite gives, if any: an update by it
    /// would spoil the parameters for good.
    fn not_finite(&self, gradients: &GradStore, step: u64) -> Result<Option<String>> {
        for (name, var) in self.model.parameters().trained() {
            let Some(gradient) = gradients.get(var) else { continue };
            if !is_finite(gradient).map_err(packlight_nn::Error::from)? {
                return Ok(Some(format!("the gradient of {name} is not finite at step {step}")));
            }
        }
        Ok(None)
    }

    /// The scalar loss of a batch, and its logits without their graph.
    ///
    /// Takes the inputs, so that only what the layers keep of them stays.
    pub(crate) fn loss(
        &self,
        inputs: Inputs,
        targets: &Tensor,
        pass: &Pass,
    ) -> packlight_nn::Result<(Tensor, Tensor)> {
        let logits = self.model.logits(&inputs, pass)?;
        drop(inputs);
        let loss = self.model.loss(&logits, targets)?.into_tensor()?;
        Ok((loss, logits.data().clone()))
    }
}

/// Whether the process's allocator counts: where it does not, nothing is ever live.
fn counting() -> bool {
    allocator::live() > 0
}

/// The reason to stop that a record of a gradient gives, if any.
fn not_finite(record: &Record) -> Option<String> {
    let (name, step, fidelity) = match record {
        Record::Gradient { layer, step, fidelity, .. } => (layer, step, fidelity),
        Record::WholeGradient { parameter, step, fidelity, .. } => (parameter, step, fidelity),
        _ => return None,
    };
    let norm = fidelity.exact_norm;
    (!norm.is_finite()).then(|| format!("the gradient of {name} has norm {norm} at step {step}"))
}

/// One record for each tensor that the forward pass kept, and one measurement where its bytes were
/// counted.
fn account(ledger: &Ledger, step: u64, found: &mut Step) {
    for entry in ledger.entries().into_iter().filter(|entry| !entry.again) {
        if let Some(counted) = entry.counted {
            found.measurements.push(Measurement::Counted {
                step,
                layer: entry.layer.to_string(),
                kind: entry.kind,
                bytes: counted.max(0) as u64,
            });
        }
        found.records.push(Record::Kept {
            step,
            layer: entry.layer.to_string(),
            kind: entry.kind,
            payload: entry.bytes.payload as u64,
            metadata: entry.bytes.metadata as u64,
            raw: entry.raw as u64,
        });
    }
}

/// A record of what a layer's codec remembers between steps, if anything.
fn remembered(layer: &SavePoint, step: u64) -> Option<Record> {
    let bytes = layer.codec_state().bytes() as u64;
    (bytes > 0).then(|| Record::Kept {
        step,
        layer: layer.name().to_owned(),
        kind: KeptKind::CodecState,
        payload: bytes,
        metadata: 0,
        raw: 0,
    })
}

/// The bytes kept over the pass, and the live bytes beside them.
fn draw_timeline(ledger: &Ledger, step: u64, live_before: usize, peak: usize, found: &mut Step) {
    let events = ledger.timeline();
    let above = |live: usize| live as i64 - live_before as i64;
    let live: Option<Vec<i64>> = events.iter().map(|event| event.live.map(above)).collect();
    if let Some(points) = live.filter(|_| counting()) {
        found.measurements.push(Measurement::Allocated { step, points, peak: above(peak) });
    }
    let points = events
        .into_iter()
        .map(|event| TimelinePoint {
            layer: event.layer.to_string(),
            backward: event.backward,
            kept: event.kept as u64,
        })
        .collect();
    found.records.push(Record::Timeline { step, points });
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;
    use crate::data;
    use crate::spec::read_study;

    /// Pixels that are large, and no probe.
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
        let study = read_study(dir.path()).unwrap();
        let data = data::load(&study.data, None::<&Path>).unwrap();
        let model = data.model(&study.model).unwrap();
        let mut trainer = Trainer::new(&study, &data, &model, &study.plans[0], 3).unwrap();
        // Hidden features next to 0, times weights next to the largest number: the loss is finite,
        // and so is the gradient of all but the first weight, which large pixels multiply.
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
        let found = trainer.step(&order, 0, 0, Look::Nothing).unwrap();
        assert!(found.loss.is_finite(), "{}", found.loss);
        let reason = found.diverged.unwrap();
        assert_eq!(reason, "the gradient of fc1.weight is not finite at step 0");
        let after = trainer.model.parameters().tensors().unwrap();
        assert_eq!(values(&after), values(&tensors), "parameters are as they were");
    }
}
