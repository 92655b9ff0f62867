//! What is lacking in the log, and how it is measured.

use std::path::Path;
use std::sync::atomic::Ordering;

use packlight_codec::CodecState;
use packlight_probe::one_on::{Trial, settle};
use packlight_record::{Compared, SensitivityRecord};
use packlight_spec::Point;

use super::exact_training::ExactTraining;
use super::sample::{SETTLING, Sample, weights_digest};
use super::score::{On, score, trial};
use super::scores::{Key, Scores};
use super::table::{Pair, Table};
use super::work::Work;
use crate::progress::{Event, Progress};
use crate::run_trainer::RunTrainer;
use crate::sweep::Options;
use crate::{Error, Result, shortened};

/// What the log lacks of one batch at one point of one training.
pub(super) struct Group {
    pub(super) seed: u64,
    pub(super) point: Point,
    pub(super) step: u64,
    pub(super) batch: u64,
    /// The indices of pairs without a score.
    pub(super) lacks: Vec<usize>,
    /// The indices of what was not measured of a codec at all layers, or all but one.
    pub(super) together: Vec<usize>,
    /// The indices of pairs with which no training was compared, and of which it is not known that they are
    /// hopeless.
    pub(super) untrained: Vec<usize>,
}

impl Group {
    /// Whether gradients are to be compared.
    pub(super) fn has_passes(&self) -> bool {
        !(self.lacks.is_empty() && self.together.is_empty())
    }

    /// The number of trainings, an exact one included.
    pub(super) fn trainings(&self) -> u64 {
        self.untrained.len() as u64 + u64::from(!self.untrained.is_empty())
    }
}

pub(super) struct Measurement<'a> {
    pub(super) table: &'a Table,
    pub(super) scores: Scores,
    pub(super) options: &'a Options<'a>,
    pub(super) progress: &'a mut dyn Progress,
    pub(super) work: Work,
    /// How many scores were measured now.
    pub(super) measured: u64,
    /// How many changes of the loss were.
    pub(super) trained: u64,
}

impl<'a> Measurement<'a> {
    /// A measurement of what `table` asks for and `scores` lack.
    pub(super) fn new(
        table: &'a Table,
        scores: Scores,
        options: &'a Options<'a>,
        progress: &'a mut dyn Progress,
    ) -> Self {
        let work = Work::default();
        Self { table, scores, options, progress, work, measured: 0, trained: 0 }
    }

    /// The groups of which the log lacks something, in the order in which they are measured.
    pub(super) fn groups(&self, seeds: &[u64]) -> Vec<Group> {
        let pairs = 0..self.table.pairs.len();
        let mut groups = Vec::new();
        for (seed, point, step, batch) in self.table.places(seeds) {
            let [lacks, together, untrained] = [const { Vec::new() }; 3];
            let mut group = Group { seed, point, step, batch, lacks, together, untrained };
            let lacks = |pair: &usize| self.scores.state(&self.key(&group, *pair)).is_none();
            group.lacks = pairs.clone().filter(lacks).collect();
            let lacks = |at: &usize| !self.scores.has_one_off(&self.together_key(&group, *at));
            group.together = (0..self.table.together.len()).filter(lacks).collect();
            let lacks = |pair: &usize| {
                let change = self.loss_key(&group, *pair);
                let lacks = change.is_some_and(|key| !self.scores.has_loss(&key));
                lacks && (group.lacks.contains(pair) || !self.is_hopeless(&group, *pair))
            };
            group.untrained = pairs.clone().filter(lacks).collect();
            if group.has_passes() || !group.untrained.is_empty() {
                groups.push(group);
            }
        }
        groups
    }

    /// Says how much there is to do.
    pub(super) fn forecast(
        &mut self,
        trainer: &RunTrainer<'_>,
        groups: &[Group],
        home: &Path,
    ) -> Result<()> {
        self.work = Work::forecast(trainer, self.table, groups, home, self.progress)?;
        Ok(())
    }

    /// Measures what is lacking with one seed.
    pub(super) fn measure_seed(
        &mut self,
        mut training: ExactTraining<'_>,
        groups: &[&Group],
    ) -> Result<()> {
        let points: Vec<u64> = self.table.points.iter().map(|&(_, step)| step).collect();
        for of_point in groups.chunk_by(|one, other| one.step == other.step) {
            let Group { seed, point, step, .. } = *of_point[0];
            let (work, progress) = (&mut self.work, &mut *self.progress);
            training.reach(step, &points, self.options, |at| {
                let now = format!("seed {seed}, training to {point}: step {at} of {step}");
                work.advance(work.pass, &now, progress);
            })?;
            let trainer = &mut training.trainer;
            let settled = self.settled(trainer, of_point)?;
            let weights = weights_digest(trainer)?;
            for group in of_point {
                if self.options.interrupted.load(Ordering::Relaxed) {
                    return Err(Error::Interrupted);
                }
                let sample = Sample::new(trainer, SETTLING + 1 + group.batch)?;
                let state = sample.digest(weights.clone());
                self.require_state(group, &state)?;
                if group.has_passes() {
                    self.measure(&sample, group, &settled, &state)?;
                }
                self.train(trainer, group, &settled, &state)?;
            }
        }
        Ok(())
    }

    /// The states of codecs that remember, by the index of their pair.
    fn settled(
        &self,
        trainer: &RunTrainer<'_>,
        groups: &[&Group],
    ) -> Result<Vec<(usize, CodecState)>> {
        let pairs = &self.table.pairs;
        let lacking = |pair: &usize| {
            let together = |g: &Group| {
                g.together.iter().any(|&at| self.table.together[at].pairs.contains(pair))
            };
            let in_group =
                |g: &&Group| g.lacks.contains(pair) || g.untrained.contains(pair) || together(g);
            groups.iter().any(in_group)
        };
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

    /// A trial of a pair whose codec has settled, if it remembers.
    pub(super) fn trial(&self, pair: usize, settled: &[(usize, CodecState)]) -> Trial {
        let remembered = settled.iter().find(|(of, _)| *of == pair);
        let state = remembered.map(|(_, state)| state.clone()).unwrap_or_default();
        trial(&self.table.pairs[pair], self.table.spec.draws, state)
    }

    /// Measures a group: in one pass all that is compared by own gradients, and each of the others in a
    /// pass.
    fn measure(
        &mut self,
        sample: &Sample<'_>,
        group: &Group,
        settled: &[(usize, CodecState)],
        state: &str,
    ) -> Result<()> {
        let pairs = &self.table.pairs;
        let place = self.place(group);
        let draws = self.table.spec.draws;
        let trial = |&pair: &usize| self.trial(pair, settled);
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
            state,
            whole_norm: one_on.norm(),
        };
        let mut outcomes = outcomes.into_iter();
        let mut scores = Vec::new();
        for lacks in &group.lacks {
            let outcome = match is_own(&lacks) {
                true => outcomes.next(),
                false => {
                    let outcome = one_on.alone(&self.trial(*lacks, settled))?;
                    self.work.advance(draws as f64 * self.work.pass, &place, self.progress);
                    Some(outcome)
                }
            };
            let Some(outcome) = outcome else { continue };
            match score(&on, &pairs[*lacks], outcome) {
                Ok(score) => scores.push(SensitivityRecord::Score(score)),
                Err(reason) => {
                    let layer = &pairs[*lacks].layer;
                    let text = format!("{place}: `{layer}` has no score: {reason}");
                    self.progress.event(Event::Warning { text: &text });
                }
            }
        }
        self.measured += scores.len() as u64;
        self.scores.append(scores)?;
        self.measure_together(&one_on, group, settled, state)
    }

    pub(super) fn place(&self, group: &Group) -> String {
        let Group { seed, point, batch, .. } = group;
        format!("seed {seed}, {point}, batch {} of {}", batch + 1, self.table.spec.batches)
    }

    fn key(&self, group: &Group, pair: usize) -> Key {
        let place = (group.seed, group.point, group.batch);
        key_of(place, self.table.spec.draws, &self.table.pairs[pair])
    }

    /// `None` where the table asks for no training.
    fn loss_key(&self, group: &Group, pair: usize) -> Option<Key> {
        let place = (group.seed, group.point, group.batch);
        Some(key_of(place, self.table.spec.horizon?, &self.table.pairs[pair]))
    }

    /// Whether a pair was measured and has no finite or too large an error.
    pub(super) fn is_hopeless(&self, group: &Group, pair: usize) -> bool {
        self.scores.is_hopeless(&self.key(group, pair))
    }

    /// Checks that what the log has of this batch was measured on the same state.
    fn require_state(&self, group: &Group, state: &str) -> Result<()> {
        for pair in 0..self.table.pairs.len() {
            let key = self.key(group, pair);
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

/// The key of a pair at a seed, a point and a batch, with a number of draws or of updates.
pub(super) fn key_of((seed, point, batch): (u64, Point, u64), times: u64, pair: &Pair) -> Key {
    let layer = pair.layer.to_string();
    (seed, point.share().to_bits(), batch, times, layer, pair.codec.spec())
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
