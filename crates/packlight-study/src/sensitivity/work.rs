//! How much there is to measure, and how much of it is done.

use std::path::Path;
use std::time::Instant;

use packlight_codec::CodecState;
use packlight_probe::one_on::Trial;
use packlight_record::Compared;

use super::exact_training::steps_left;
use super::horizon::LOSSES;
use super::measurement::Group;
use super::sample::{SETTLING, Sample};
use super::score::trial;
use super::table::{Pair, Table};
use crate::Result;
use crate::progress::{Event, Progress};
use crate::run_trainer::RunTrainer;

/// The work of a measurement, in seconds by the forecast.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// Of a pass forward and back, or a step.
    pub(super) pass: f64,
    /// Of a trial within such a pass.
    pub(super) trial: f64,
    total: f64,
    done: f64,
}

impl Work {
    /// Times a pass without and one with trials, and says how much there is to do in `groups`, whose exact
    /// trainings have their states in `home`. Codecs that turn out to be hopeless are counted in.
    pub(super) fn forecast(
        trainer: &RunTrainer<'_>,
        table: &Table,
        groups: &[Group],
        home: &Path,
        progress: &mut dyn Progress,
    ) -> Result<Self> {
        let sample = Sample::new(trainer, SETTLING)?;
        let trials = |pair: &Pair| trial(pair, table.spec.draws, CodecState::default());
        let own = table.pairs.iter().filter(|pair| pair.compared == Compared::Own);
        let own: Vec<Trial> = own.map(trials).collect();
        let timed = |trials: &[Trial]| -> Result<f64> {
            let begun = Instant::now();
            sample.one_on(trials)?;
            Ok(begun.elapsed().as_secs_f64())
        };
        let pass = timed(&[])?;
        let trial = (timed(&own)? - pass).max(0.0) / own.len().max(1) as f64;

        let mut steps = 0;
        for of_seed in groups.chunk_by(|one, other| one.seed == other.seed) {
            let points: Vec<u64> = of_seed.iter().map(|group| group.step).collect();
            steps += steps_left(home, of_seed[0].seed, &points);
        }
        let mut work = Self { pass, trial, ..Self::default() };
        let (mut scores, mut passes) = (0, 0);
        work.total = steps as f64 * pass;
        for group in groups {
            let alone =
                group.lacks.iter().filter(|pair| table.pairs[**pair].compared == Compared::All);
            let alone = alone.count() as u64;
            let own = group.lacks.len() as u64 - alone;
            let together = group.together.len() as u64;
            let in_passes = u64::from(group.has_passes()) + (alone + together) * table.spec.draws;
            let trainings = group.trainings();
            scores += (group.lacks.len() + group.untrained.len()) as u64 + together;
            passes += in_passes;
            steps += trainings * table.spec.horizon.unwrap_or_default();
            work.total += in_passes as f64 * pass + own as f64 * trial;
            work.total += trainings as f64 * work.training(table);
        }
        let seconds = work.total;
        progress.event(Event::ToMeasure { scores, passes, steps, seconds });
        Ok(work)
    }

    /// Of a training of as many updates as the table says.
    pub(super) fn training(&self, table: &Table) -> f64 {
        (table.spec.horizon.unwrap_or_default() as f64 + LOSSES) * self.pass
    }

    /// Adds what has been done, and says so.
    pub(super) fn advance(&mut self, seconds: f64, now: &str, progress: &mut dyn Progress) {
        self.done += seconds;
        progress.event(Event::Measuring { now, done: self.done / self.total });
    }
}
