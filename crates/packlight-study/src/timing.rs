//! Times a step of each plan of a study beside the baseline's, by turns.
//!
//! The times of whole runs cannot be compared: what else the machine did in those minutes is part
//! of them. Here, the steps of two plans lie next to each other, so a slow moment slows both.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use packlight_record::{PlanTiming, Record, Round, Timings, read_log};
use packlight_spec::layout::{RECORDS, RUNS};
use packlight_spec::{NamedPlan, run_name};

use crate::instrument::Instrument;
use crate::progress::{Event, Progress};
use crate::run_trainer::RunTrainer;
use crate::sweep::{Options, Sweep};
use crate::{Error, Result, device};

/// Rounds before the first one that counts: codecs calibrate, allocate and remember, and memory is
/// obtained.
const WARM_UP: usize = 3;
/// The fewest rounds: with 9, the second and the second to last bound the median with a confidence
/// of 96 %.
const FEWEST: usize = 9;
/// The most rounds.
const MOST: usize = 31;
/// Between the two, rounds go on for this many seconds.
const SECONDS: f64 = 2.0;

impl Sweep {
    /// Times each plan that has not been timed with this study and on this machine, and writes
    /// the study's timings after each. A plan that cannot take its steps is left out with a
    /// warning; its runs have failed, too.
    ///
    /// # Errors
    /// Returns [`Error::Interrupted`] when asked to stop, or an error if the timings cannot be read
    /// or written.
    pub(crate) fn time(&self, options: &Options<'_>, progress: &mut dyn Progress) -> Result<()> {
        let baseline = self.baseline();
        let plans = self.distinct_plans();
        let mut timings = Timings::read(&self.folder)?;
        let wanted = plans.iter().map(|plan| self.timing(plan, &baseline, options));
        let wanted = wanted.collect::<Result<Vec<_>>>()?;
        let known: Vec<PlanTiming> = match options.overwrite {
            true => Vec::new(),
            false => wanted.iter().filter_map(|plan| same(&timings, plan)).cloned().collect(),
        };
        timings.plans = known;
        for (plan, mut timing) in plans.iter().zip(wanted) {
            if timings.of(&plan.spec).is_some() {
                continue;
            }
            progress.event(Event::Timing { plan: &self.label(&plan.name) });
            match self.by_turns(&baseline, plan, options.interrupted) {
                Ok(rounds) => timing.rounds = rounds,
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                Err(error) => {
                    let text = format!("{} is not timed: {error}", self.label(&plan.name));
                    progress.event(Event::Warning { text: &text });
                    continue;
                }
            }
            timings.plans.push(timing);
            timings.write(&self.folder)?;
        }
        Ok(())
    }

    /// The plan that the others are timed beside.
    fn baseline(&self) -> NamedPlan {
        let plans = &self.study.plans;
        let exact = plans.iter().find(|plan| plan.spec == "none");
        step_of(exact.unwrap_or(&plans[0]))
    }

    /// The first plan of each kind of step.
    fn distinct_plans(&self) -> Vec<NamedPlan> {
        let mut distinct: Vec<NamedPlan> = Vec::new();
        for plan in &self.study.plans {
            if distinct.iter().all(|known| known.spec != plan.spec) {
                distinct.push(step_of(plan));
            }
        }
        distinct
    }

    /// A timing without rounds yet.
    fn timing(
        &self,
        plan: &NamedPlan,
        baseline: &NamedPlan,
        options: &Options<'_>,
    ) -> Result<PlanTiming> {
        Ok(PlanTiming {
            plan: plan.spec.clone(),
            baseline: baseline.spec.clone(),
            study_hash: self.study.hash(plan, self.study.seeds[0])?,
            cpu: device::name(&device::open_device(self.study.device)?),
            threads: options.threads as u64,
            rounds: Vec::new(),
        })
    }

    /// A trainer whose steps are timed: with an adaptive plan, those with the last codecs of the run with
    /// the first seed.
    fn trainer_to_time<'a>(&'a self, plan: &'a NamedPlan) -> Result<RunTrainer<'a>> {
        let seed = self.study.seeds[0];
        let mut trainer = RunTrainer::new(&self.study, &self.data, &self.model, plan, seed)?;
        if trainer.adaptive.is_some() {
            let run = self.folder.join(RUNS).join(run_name(&plan.name, seed));
            let records = read_log::<Record>(&run.join(RECORDS))?.values;
            let last = records.iter().rev().find_map(|record| match record {
                Record::Allocation { plan, .. } => Some(plan.as_str()),
                _ => None,
            });
            let (plan, reason) = (plan.name.clone(), "its run has not allocated codecs".to_owned());
            trainer.use_codecs(last.ok_or(Error::Adaptive { plan, reason })?)?;
        }
        Ok(trainer)
    }

    /// Trains with both plans on the study's first batch, a turn each; each goes first in every
    /// other round.
    fn by_turns(
        &self,
        baseline: &NamedPlan,
        plan: &NamedPlan,
        interrupted: &AtomicBool,
    ) -> Result<Vec<Round>> {
        let (mut baseline, mut own) =
            (self.trainer_to_time(baseline)?, self.trainer_to_time(plan)?);
        for _ in 0..WARM_UP {
            turn(&mut baseline)?;
            turn(&mut own)?;
        }
        let begun = Instant::now();
        let mut rounds = Vec::new();
        while rounds.len() < FEWEST
            || rounds.len() < MOST && begun.elapsed().as_secs_f64() < SECONDS
        {
            if interrupted.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            rounds.push(if rounds.len() % 2 == 0 {
                let first = turn(&mut baseline)?;
                Round { baseline: first, own: turn(&mut own)? }
            } else {
                let first = turn(&mut own)?;
                Round { baseline: turn(&mut baseline)?, own: first }
            });
        }
        Ok(rounds)
    }
}

/// Two steps on the first batch, and the seconds of the second: the first brings back the caches
/// and the memory that the other plan has used meanwhile.
fn turn(trainer: &mut RunTrainer<'_>) -> Result<f64> {
    let order = trainer.order(0);
    let batch = &order[..order.len().min(trainer.study.batch)];
    trainer.step(batch, 0, Instrument::None)?;
    Ok(trainer.step(batch, 0, Instrument::None)?.seconds)
}

/// The plan without what does not change its steps.
fn step_of(plan: &NamedPlan) -> NamedPlan {
    NamedPlan { epochs: None, from: None, ..plan.clone() }
}

/// The timing of the same plan, study and machine.
fn same<'a>(timings: &'a Timings, wanted: &PlanTiming) -> Option<&'a PlanTiming> {
    timings.of(&wanted.plan).filter(|found| {
        (&found.baseline, &found.study_hash, &found.cpu, found.threads)
            == (&wanted.baseline, &wanted.study_hash, &wanted.cpu, wanted.threads)
    })
}
