//! The time of a training step, from `timings.json`.

use packlight_record::PlanTiming;

use crate::statistics::median::median;
use crate::study::Study;

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
}

impl StepTime {
    /// For the exact plan: how far a ratio may be from 1 without any difference.
    pub(crate) fn noise(&self) -> Option<f64> {
        self.interval.map(|(low, high)| (1.0 - low).abs().max((high - 1.0).abs()))
    }
}

/// The time of a step of a plan; `None` if there is no current timing.
pub(crate) fn of(study: &Study, plan: &str) -> Option<StepTime> {
    let timing = current(study, plan)?;
    let ratio = median(timing.rounds.iter().map(|round| round.own / round.exact))?;
    let exact = study.baseline().is_some_and(|base| base.name == plan);
    Some(StepTime {
        seconds: median(timing.rounds.iter().map(|round| round.own))?.value,
        ratio: if exact { 1.0 } else { ratio.value },
        interval: ratio.interval,
    })
}

/// The timing of a plan, if it is of the plan as it was run and was taken on the machine, and with the
/// threads, of the exact plan's.
pub(crate) fn current<'a>(study: &'a Study, plan: &str) -> Option<&'a PlanTiming> {
    let base = as_run(study, &study.baseline()?.name)?;
    as_run(study, plan).filter(|own| (&own.cpu, own.threads) == (&base.cpu, base.threads))
}

/// The timing of a plan, if its hash is that of the plan's run with the first seed.
fn as_run<'a>(study: &'a Study, plan: &str) -> Option<&'a PlanTiming> {
    let run = study.of(plan).find(|run| Some(run.manifest.seed) == study.first_seed)?;
    study.timings.of(plan).filter(|timing| timing.study_hash == run.manifest.study_hash)
}
