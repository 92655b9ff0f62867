//! The time of a training step, from `timings.json`, and what a run measures between its steps.

use packlight_record::{Measurement, PlanTiming};
use packlight_spec::NamedPlan;

use crate::statistics::median::median;
use crate::study::{Run, Study};

/// How long a training step of one plan takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct StepTime {
    /// The median of its steps, in seconds.
    pub(crate) seconds: f64,
    /// The median over the rounds of its time as a multiple of the exact plan's; exactly 1 for the
    /// exact plan.
    pub(crate) ratio: f64,
    /// The 95 % interval of the median ratio, by order statistics. For the exact plan, that of its
    /// ratio to a second copy of itself; `None` for fewer than six rounds.
    pub(crate) interval: Option<(f64, f64)>,
    /// The ratio with a step's share of what the plan's runs measure between their steps; `None` if they measure,
    /// and how long is not known of any that has finished.
    pub(crate) whole: Option<f64>,
}

impl StepTime {
    /// For the exact plan: how far a ratio may be from 1 without any difference.
    pub(crate) fn noise(&self) -> Option<f64> {
        self.interval.map(|(low, high)| (1.0 - low).abs().max((high - 1.0).abs()))
    }
}

/// The time of a step of a plan; `None` if there is no current timing.
pub(crate) fn of(study: &Study, plan: &NamedPlan) -> Option<StepTime> {
    let timing = current(study, &plan.spec)?;
    let ratio = median(timing.rounds.iter().map(|round| round.own / round.baseline))?;
    let value = if plan.spec == timing.baseline { 1.0 } else { ratio.value };
    Some(StepTime {
        seconds: median(timing.rounds.iter().map(|round| round.own))?.value,
        ratio: value,
        interval: ratio.interval,
        whole: with_measuring(study, &plan.name).map(|factor| factor * value),
    })
}

/// Seconds that a run has spent on measuring sensitivities, for codecs that calibrate or to choose codecs;
/// `None` if its plan needs neither.
pub(crate) fn measuring(run: &Run) -> Option<f64> {
    let seconds = run.measurements.iter().filter_map(|measurement| match measurement {
        Measurement::Calibration { seconds, .. } | Measurement::Allocation { seconds, .. } => {
            Some(*seconds)
        }
        _ => None,
    });
    seconds.reduce(|all, seconds| all + seconds)
}

/// By how much measuring multiplies the time of a plan's steps: the median over its finished runs.
fn with_measuring(study: &Study, plan: &str) -> Option<f64> {
    if study.of(plan).all(|run| measuring(run).is_none()) {
        return Some(1.0);
    }
    let factors = study.of(plan).filter(|run| run.finished()).filter_map(factor);
    median(factors).map(|found| found.value)
}

/// The same for one run. Both times are by the run's own clock, so that what else the machine did slows both.
fn factor(run: &Run) -> Option<f64> {
    let (mut seconds, mut timed) = (0.0, 0);
    for measurement in &run.measurements {
        match measurement {
            Measurement::Time { steps, train_seconds, .. } => {
                seconds += train_seconds;
                timed += steps;
            }
            Measurement::Allocation { seconds: within, .. } => seconds -= within,
            _ => {}
        }
    }
    let share = measuring(run).unwrap_or(0.0) / run.steps()? as f64;
    let step = seconds / timed as f64;
    Some(1.0 + share / step).filter(|factor| factor.is_finite() && step > 0.0)
}

/// The timing of the plan of this text, if it is of the study as it was run, beside the exact plan, and
/// was taken on the machine, and with the threads, of the exact plan's.
pub(crate) fn current<'a>(study: &'a Study, spec: &str) -> Option<&'a PlanTiming> {
    let exact = as_run(study, &study.baseline()?.spec)?;
    as_run(study, spec).filter(|own| {
        own.baseline == exact.plan && (&own.cpu, own.threads) == (&exact.cpu, exact.threads)
    })
}

/// The timing of a plan, if its hash is that of the run with the first seed. Plans that differ only in
/// their epochs and their start share a timing, which has the hash of the one that has neither of its
/// own; without such a run there is nothing to hold it against.
fn as_run<'a>(study: &'a Study, spec: &str) -> Option<&'a PlanTiming> {
    let timing = study.timings.of(spec)?;
    let plain =
        |plan: &&NamedPlan| plan.spec == spec && plan.epochs.is_none() && plan.from.is_none();
    let mut runs = study.plans.iter().filter(plain).flat_map(|plan| study.of(&plan.name));
    let run = runs.find(|run| Some(run.manifest.seed) == study.first_seed);
    run.is_none_or(|run| run.manifest.study_hash == timing.study_hash).then_some(timing)
}
