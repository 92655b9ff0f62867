//! What each candidate alone does to the gradients, at the present parameters.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use packlight_autograd::Ledger;
use packlight_codec::{Codec, CodecState};
use packlight_probe::one_on::{Trial, settle};
use packlight_probe::{Survey, survey};
use packlight_record::Score;
use packlight_spec::Point;

use super::Adaptive;
use super::candidates::Candidate;
use crate::progress::{Event, Progress};
use crate::run_trainer::RunTrainer;
use crate::sensitivity::{On, Sample, trial, whole_batch};
use crate::{Error, Result};

/// Passes of a measurement, and how many of them are done.
struct Passes<'a> {
    step: u64,
    all: u64,
    done: u64,
    interrupted: &'a AtomicBool,
    progress: &'a mut dyn Progress,
}

impl Passes<'_> {
    /// Says how far it has got.
    fn advance(&mut self, passes: u64) -> Result<()> {
        self.done += passes;
        let done = self.done as f64 / self.all as f64;
        self.progress.event(Event::Allocating { step: self.step, done });
        match self.interrupted.load(Ordering::Relaxed) {
            true => Err(Error::Interrupted),
            false => Ok(()),
        }
    }
}

impl RunTrainer<'_> {
    /// Measures all candidates before `step`. Also the most bytes that a pass has kept.
    pub(super) fn measure(
        &self,
        adaptive: &Adaptive,
        step: u64,
        interrupted: &AtomicBool,
        progress: &mut dyn Progress,
    ) -> Result<(Vec<Score>, u64)> {
        let mut passes = Passes { step, all: adaptive.passes(), done: 0, interrupted, progress };
        let first = self.first_batch(step);
        let mut states = None;
        let (mut scores, mut kept, mut parts) = (Vec::new(), 0, 0);
        for batch in 0..adaptive.batches {
            let order = whole_batch(self, first + batch);
            let parts_of_it = order.chunks(adaptive.part);
            for samples in parts_of_it.filter(|part| part.len() >= adaptive.fewest) {
                let ledger = Ledger::new();
                let sample = Sample::of(self, samples, first + parts)?.counted_by(&ledger);
                let states = match &mut states {
                    Some(states) => states,
                    none => none.insert(self.settled(adaptive, &sample)?),
                };
                scores.extend(self.measure_on(adaptive, &sample, parts, states, &mut passes)?);
                kept = kept.max(ledger.peak() as u64);
                parts += 1;
            }
        }
        Ok((scores, kept))
    }

    /// How long a measurement takes, from one pass without and one with trials.
    ///
    /// # Errors
    /// Returns an error if a pass fails.
    pub(crate) fn forecast_measurement(&self) -> Result<f64> {
        let Some(adaptive) = &self.adaptive else { return Ok(0.0) };
        let samples = whole_batch(self, self.first_batch(0));
        let part = &samples[..adaptive.part.min(samples.len())];
        let sample = Sample::of(self, part, self.first_batch(0))?;
        let timed = |trials: &[Trial]| -> Result<f64> {
            let begun = Instant::now();
            sample.one_on(trials)?;
            Ok(begun.elapsed().as_secs_f64())
        };
        let states = vec![CodecState::default(); adaptive.candidates.all.len()];
        let pass = timed(&[])?;
        let with_trials = timed(&own(adaptive, &states))?;
        let others = (adaptive.passes() - adaptive.parts()) as f64;
        Ok(adaptive.parts() as f64 * with_trials + others * pass)
    }

    /// What an exact pass over so many samples saves, and what codecs make of that.
    pub(super) fn survey(&self, samples: usize, codecs: &[Arc<dyn Codec>]) -> Result<Survey> {
        let order = whole_batch(self, self.first_batch(0));
        let part = &order[..samples.min(order.len())];
        let sample = Sample::of(self, part, self.first_batch(0))?;
        let parameters = self.model.parameters();
        Ok(survey(parameters, &sample.pass, |pass| sample.loss(pass), codecs)?)
    }

    /// The number of the first batch that is measured before a step, as if the training went on to it.
    fn first_batch(&self, step: u64) -> u64 {
        self.total_steps() + step
    }

    /// The state of each candidate: what it remembers of a batch, if it remembers anything.
    fn settled(&self, adaptive: &Adaptive, sample: &Sample<'_>) -> Result<Vec<CodecState>> {
        let mut states = vec![CodecState::default(); adaptive.candidates.all.len()];
        let remembers = |(_, candidate): &(usize, &Candidate)| candidate.pair.settles;
        let (places, mut trials): (Vec<usize>, Vec<Trial>) = (adaptive.candidates.all.iter())
            .enumerate()
            .filter(remembers)
            .map(|(place, candidate)| (place, trial(&candidate.pair, 1, CodecState::default())))
            .unzip();
        if !trials.is_empty() {
            let parameters = self.model.parameters();
            settle(parameters, &sample.pass, |pass| sample.loss(pass), &mut trials)?;
        }
        for (place, trial) in places.into_iter().zip(trials) {
            states[place] = trial.state;
        }
        Ok(states)
    }

    /// Measures candidates on a part of a batch, the `number`-th: in one pass those that change their own layer's
    /// gradient alone, and each of the others whose turn it is in passes of its own.
    fn measure_on(
        &self,
        adaptive: &Adaptive,
        sample: &Sample<'_>,
        number: u64,
        states: &[CodecState],
        passes: &mut Passes<'_>,
    ) -> Result<Vec<Score>> {
        let (one_on, outcomes) = sample.one_on(&own(adaptive, states))?;
        passes.advance(1)?;
        let on = On {
            point: Point::START,
            seed: self.trainer.steps.seed(),
            batch: number,
            draws: adaptive.draws,
            state: "",
            whole_norm: one_on.norm(),
        };
        let mut outcomes = outcomes.into_iter();
        let mut scores = Vec::new();
        for (candidate, state) in adaptive.candidates.all.iter().zip(states) {
            let outcome = match candidate.is_alone() {
                false => outcomes.next(),
                true if !candidate.is_measured_on(number, adaptive.parts()) => None,
                true => {
                    let trial = trial(&candidate.pair, adaptive.draws, state.clone());
                    let outcome = one_on.alone(&trial)?;
                    passes.advance(adaptive.draws)?;
                    Some(outcome)
                }
            };
            scores.extend(outcome.and_then(|outcome| candidate.score(&on, outcome)));
        }
        Ok(scores)
    }
}

/// The trials that share a pass.
fn own(adaptive: &Adaptive, states: &[CodecState]) -> Vec<Trial> {
    let all = adaptive.candidates.all.iter().zip(states);
    all.filter(|(candidate, _)| !candidate.is_alone())
        .map(|(candidate, state)| trial(&candidate.pair, adaptive.draws, state.clone()))
        .collect()
}
