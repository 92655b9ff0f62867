//! The time of a training step, from `timings.json`.

use packlight_record::PlanTiming;
use packlight_spec::NamedPlan;

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
pub(crate) fn of(study: &Study, plan: &NamedPlan) -> Option<StepTime> {
    let timing = current(study, &plan.spec)?;
    let ratio = median(timing.rounds.iter().map(|round| round.own / round.baseline))?;
    let exact = plan.spec == timing.baseline;
    Some(StepTime {
        seconds: median(timing.rounds.iter().map(|round| round.own))?.value,
        ratio: if exact { 1.0 } else { ratio.value },
        interval: ratio.interval,
    })
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
