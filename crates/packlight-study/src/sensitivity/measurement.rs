//! What is lacking in the log, and how it is measured.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Instant;

use packlight_codec::CodecState;
use packlight_probe::one_on::{Trial, settle};
use packlight_record::{Compared, Score};
use packlight_spec::Point;
use sha2::Sha256;

use super::exact_training::{ExactTraining, steps_left};
use super::sample::{SETTLING, Sample, weights_digest};
use super::score::{On, score, trial};
use super::scores::{Key, Scores};
use super::table::{Pair, Table};
use crate::progress::{Event, Progress};
use crate::run_trainer::RunTrainer;
use crate::sweep::Options;
use crate::{Error, Result, shortened};

/// What the log lacks of one batch at one point of one training.
pub(super) struct Group {
    pub(super) seed: u64,
    point: Point,
    step: u64,
    batch: u64,
    /// The indices of pairs.
    pub(super) lacks: Vec<usize>,
}

/// The work of a measurement, in seconds by the forecast.
#[derive(Debug, Default)]
struct Work {
    /// Of a pass forward and back, or a step.
    pass: f64,
    /// Of a trial within such a pass.
    trial: f64,
    total: f64,
    done: f64,
}

impl Work {
    /// Adds what has been done, and says so.
    fn advance(&mut self, seconds: f64, now: &str, progress: &mut dyn Progress) {
        self.done += seconds;
        progress.event(Event::Measuring { now, done: self.done / self.total });
    }
}

pub(super) struct Measurement<'a> {
    table: &'a Table,
    pub(super) scores: Scores,
    options: &'a Options<'a>,
    progress: &'a mut dyn Progress,
    work: Work,
}

impl<'a> Measurement<'a> {
    /// A measurement of what `table` asks for and `scores` lack.
    pub(super) fn new(
        table: &'a Table,
        scores: Scores,
        options: &'a Options<'a>,
        progress: &'a mut dyn Progress,
    ) -> Self {
        Self { table, scores, options, progress, work: Work::default() }
    }

    /// The groups of which the log lacks something, in the order in which they are measured.
    pub(super) fn groups(&self, seeds: &[u64]) -> Vec<Group> {
        let (spec, pairs) = (&self.table.spec, &self.table.pairs);
        let mut groups = Vec::new();
        for &seed in seeds {
            for &(point, step) in &self.table.points {
                for batch in 0..spec.batches {
                    let key = |&pair: &usize| key(seed, point, batch, spec.draws, &pairs[pair]);
                    let lacks: Vec<usize> = (0..pairs.len())
                        .filter(|pair| self.scores.state(&key(pair)).is_none())
                        .collect();
                    if !lacks.is_empty() {
                        groups.push(Group { seed, point, step, batch, lacks });
                    }
                }
            }
        }
        groups
    }

    /// Times a pass without and one with trials, and says how much there is to do.
    pub(super) fn forecast(
        &mut self,
        trainer: &RunTrainer<'_>,
        groups: &[Group],
        home: &Path,
    ) -> Result<()> {
        let sample = Sample::new(trainer, SETTLING)?;
        let draws = self.table.spec.draws;
        let trials = |pair: &Pair| trial(pair, draws, CodecState::default());
        let own = self.table.pairs.iter().filter(|pair| pair.compared == Compared::Own);
        let own: Vec<Trial> = own.map(trials).collect();
        let timed = |trials: &[Trial]| -> Result<f64> {
            let begun = Instant::now();
            sample.one_on(trials)?;
            Ok(begun.elapsed().as_secs_f64())
        };
        let pass = timed(&[])?;
        let trial = (timed(&own)? - pass).max(0.0) / own.len().max(1) as f64;

        let mut steps = 0;
        let (mut seed, mut points) = (None, Vec::new());
        for group in groups {
            if seed != Some(group.seed) {
                steps += seed.map_or(0, |seed| steps_left(home, seed, &points));
                (seed, points) = (Some(group.seed), Vec::new());
            }
            points.push(group.step);
        }
        steps += seed.map_or(0, |seed| steps_left(home, seed, &points));
        self.work = Work { pass, trial, ..Work::default() };
        let seconds: f64 = groups.iter().map(|group| self.seconds(group)).sum();
        let seconds = seconds + steps as f64 * pass;
        self.work.total = seconds;
        let scores = groups.iter().map(|group| group.lacks.len() as u64).sum();
        let passes = groups.iter().map(|group| 1 + self.alone(group)).sum();
        self.progress.event(Event::ToMeasure { scores, passes, steps, seconds });
        Ok(())
    }

    /// The number of passes of a group for single scores: one for each of their draws.
    fn alone(&self, group: &Group) -> u64 {
        let pairs = &self.table.pairs;
        let alone = |pair: &&usize| pairs[**pair].compared == Compared::All;
        group.lacks.iter().filter(alone).count() as u64 * self.table.spec.draws
    }

    /// How long a group takes, by the forecast.
    fn seconds(&self, group: &Group) -> f64 {
        let is_own = |pair: &&usize| self.table.pairs[**pair].compared == Compared::Own;
        let tried = group.lacks.iter().filter(is_own).count() as f64;
        (1.0 + self.alone(group) as f64) * self.work.pass + tried * self.work.trial
    }

    /// Measures what is lacking with one seed, and returns how many scores that were.
    pub(super) fn measure_seed(
        &mut self,
        mut training: ExactTraining<'_>,
        groups: &[&Group],
    ) -> Result<u64> {
        let points: Vec<u64> = self.table.points.iter().map(|&(_, step)| step).collect();
        let mut measured = 0;
        for of_point in groups.chunk_by(|one, other| one.step == other.step) {
            let Group { seed, point, step, .. } = *of_point[0];
            let (work, progress) = (&mut self.work, &mut *self.progress);
            training.reach(step, &points, self.options, |at| {
                let now = format!("seed {seed}, training to {point}: step {at} of {step}");
                work.advance(work.pass, &now, progress);
            })?;
            let trainer = &training.trainer;
            let settled = self.settled(trainer, of_point)?;
            let weights = weights_digest(trainer)?;
            for group in of_point {
                if self.options.interrupted.load(Ordering::Relaxed) {
                    return Err(Error::Interrupted);
                }
                let scores = self.measure(trainer, group, &settled, &weights)?;
                measured += scores.len() as u64;
                self.scores.append(scores)?;
            }
        }
        Ok(measured)
    }

    /// The states of codecs that remember, by the index of their pair.
    fn settled(
        &self,
        trainer: &RunTrainer<'_>,
        groups: &[&Group],
    ) -> Result<Vec<(usize, CodecState)>> {
        let pairs = &self.table.pairs;
        let lacking = |pair: &usize| groups.iter().any(|group| group.lacks.contains(pair));
        let to_settle: Vec<usize> =
            (0..pairs.len()).filter(|&pair| pairs[pair].settles).filter(lacking).collect();
        if to_settle.is_empty() {
            return Ok(Vec::new());
        }
        let sample = Sample::new(trainer, SETTLING)?;
        let new = |&pair: &usize| trial(&pairs[pair], 1, CodecState::default());
        let mut trials: Vec<Trial> = to_settle.iter().map(new).collect();
        let parameters = trainer.model.parameters();
        settle(parameters, &sample.pass, |pass| sample.loss(pass), &mut trials)?;
        Ok(to_settle.into_iter().zip(trials.into_iter().map(|trial| trial.state)).collect())
    }

    /// Measures a group: in one pass all that is compared by own gradients, and each of the others in a
    /// pass.
    fn measure(
        &mut self,
        trainer: &RunTrainer<'_>,
        group: &Group,
        settled: &[(usize, CodecState)],
        weights: &Sha256,
    ) -> Result<Vec<Score>> {
        let pairs = &self.table.pairs;
        let sample = Sample::new(trainer, SETTLING + 1 + group.batch)?;
        let state = sample.digest(weights.clone());
        self.require_state(group, &state)?;
        let place = format!(
            "seed {}, {}, batch {} of {}",
            group.seed,
            group.point,
            group.batch + 1,
            self.table.spec.batches
        );
        let draws = self.table.spec.draws;
        let trial = |&pair: &usize| {
            let remembered = settled.iter().find(|(of, _)| *of == pair);
            let state = remembered.map(|(_, state)| state.clone()).unwrap_or_default();
            trial(&pairs[pair], draws, state)
        };
        let is_own = |pair: &&usize| pairs[**pair].compared == Compared::Own;
        let own: Vec<Trial> = group.lacks.iter().filter(is_own).map(trial).collect();
        let (one_on, outcomes) = sample.one_on(&own).map_err(|error| at(&place, error))?;
        let seconds = self.work.pass + own.len() as f64 * self.work.trial;
        self.work.advance(seconds, &place, self.progress);
        let on = On {
            point: group.point,
            seed: group.seed,
            batch: group.batch,
            draws,
            state: &state,
            whole_norm: one_on.norm(),
        };
        let mut outcomes = outcomes.into_iter();
        let mut scores = Vec::new();
        for lacks in &group.lacks {
            let outcome = match is_own(&lacks) {
                true => outcomes.next(),
                false => {
                    let outcome = one_on.alone(&trial(lacks))?;
                    self.work.advance(draws as f64 * self.work.pass, &place, self.progress);
                    Some(outcome)
                }
            };
            let Some(outcome) = outcome else { continue };
            match score(&on, &pairs[*lacks], outcome) {
                Ok(score) => scores.push(score),
                Err(reason) => {
                    let layer = &pairs[*lacks].layer;
                    let text = format!("{place}: `{layer}` has no score: {reason}");
                    self.progress.event(Event::Warning { text: &text });
                }
            }
        }
        Ok(scores)
    }

    /// Checks that what the log has of this batch was measured on the same state.
    fn require_state(&self, group: &Group, state: &str) -> Result<()> {
        for pair in &self.table.pairs {
            let key = key(group.seed, group.point, group.batch, self.table.spec.draws, pair);
            if let Some(then) = self.scores.state(&key)
                && then != state
            {
                let folder = self.scores.path().with_file_name("");
                let how = format!(
                    "seed {}, {}, batch {}: other weights or another batch, SHA-256 {} then, {} now; \
                     a file of weights, a library or the processor is another one",
                    group.seed,
                    group.point,
                    group.batch + 1,
                    shortened(then),
                    shortened(state)
                );
                return Err(Error::MeasuredOtherwise { folder, what: "the training", how });
            }
        }
        Ok(())
    }
}

fn key(seed: u64, point: Point, batch: u64, draws: u64, pair: &Pair) -> Key {
    let layer = pair.layer.to_string();
    (seed, point.share().to_bits(), batch, draws, layer, pair.codec.spec())
}

/// Adds to an exact gradient that is not finite where that was.
fn at(place: &str, error: Error) -> Error {
    match &error {
        Error::Probe(probe) if matches!(**probe, packlight_probe::Error::NotFinite { .. }) => {
            let remedy = "measure at another point, or lower the learning rate";
            Error::Diverged { reason: format!("{place}: {probe}; {remedy}") }
        }
        _ => error,
    }
}
