//! How the codecs of an adaptive plan changed during training.

use packlight_figure::significant;
use packlight_record::{AllocatedLayer, Measurement, Record};
use packlight_spec::{AdaptiveSpec, Every};

use crate::comparison::{Comparison, compared};
use crate::figures::Source;
use crate::plan::PlanRow;
use crate::study::{Run, Study};

/// The steps from one allocation to the next.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Period<'a> {
    /// The first step.
    pub(crate) step: u64,
    pub(crate) budget: u64,
    /// The most bytes that a step keeps.
    pub(crate) kept: u64,
    /// The relative squared error that is predicted.
    error: f64,
    pub(crate) layers: &'a [AllocatedLayer],
}

/// A layer that has another codec than in the period before: its name, and both codecs.
pub(crate) type Change<'a> = (&'a str, &'a str, &'a str);

impl<'a> Period<'a> {
    /// The predicted error relative to the gradient's norm, such as `0.295 %`.
    pub(crate) fn error_in_words(&self) -> String {
        format!("{} %", significant(100.0 * self.error.max(0.0).sqrt()))
    }

    /// What changed since another period of the same run.
    pub(crate) fn changes_since(&self, before: &Period<'a>) -> Vec<Change<'a>> {
        let both = before.layers.iter().zip(self.layers);
        both.filter(|(then, now)| then.codec != now.codec)
            .map(|(then, now)| (now.layer.as_str(), then.codec.as_str(), now.codec.as_str()))
            .collect()
    }
}

/// The periods of a run; none if its plan is not adaptive.
pub(crate) fn periods(run: &Run) -> Vec<Period<'_>> {
    let period = |record| match record {
        &Record::Allocation { step, budget, kept_bytes, predicted_error, ref layers, .. } => {
            let (kept, error) = (kept_bytes, predicted_error);
            Some(Period { step, budget, kept, error, layers })
        }
        _ => None,
    };
    run.records.iter().filter_map(period).collect()
}

/// The first run of a plan that has allocated codecs.
pub(crate) fn first_adaptive<'a>(study: &'a Study, plan: &'a str) -> Option<&'a Run> {
    study.of(plan).find(|run| !periods(run).is_empty())
}

/// The adaptive plans that choose more often than another one from which they differ in nothing else, each beside
/// the one that chooses least often; tested together. Empty where not all of their runs have finished whole, or the
/// other one only guesses.
pub(crate) fn more_often<'a>(source: &Source<'a>) -> Vec<(&'a PlanRow, Comparison)> {
    let (study, accuracies) = (source.study, source.study.accuracies());
    if !study.scales().is_empty() {
        return Vec::new();
    }
    let else_alike = |a: &PlanRow, b: &PlanRow| {
        let but_how_often = |plan: &PlanRow| {
            let adaptive = plan.plan.adaptive.clone()?;
            Some(AdaptiveSpec { every: Every::Steps(1), ..adaptive })
        };
        but_how_often(a).is_some()
            && but_how_often(a) == but_how_often(b)
            && (a.planned_epochs, &a.plan.from) == (b.planned_epochs, &b.plan.from)
    };
    let times =
        |plan: &PlanRow| first_adaptive(study, &plan.plan.name).map_or(0, |run| periods(run).len());
    let pair = |plan: &'a PlanRow| {
        let alike = source.plans.iter().filter(|other| else_alike(plan, other));
        let rarest = alike.min_by_key(|other| times(other))?;
        let guesses = accuracies.only_guessed(rarest.accuracy?);
        let whole = [plan, rarest].iter().all(|plan| plan.finished == plan.planned);
        (whole && !guesses && times(rarest) < times(plan)).then_some((plan, rarest))
    };
    let pairs: Vec<_> = source.plans.iter().filter_map(pair).collect();
    compared(&pairs, accuracies.resolution)
}

/// The share of the time of a plan's training steps that measuring took, over all its runs.
pub(crate) fn measuring_share(study: &Study, plan: &str) -> Option<f64> {
    let (mut measuring, mut all) = (0.0, 0.0);
    for measurement in study.of(plan).flat_map(|run| &run.measurements) {
        match measurement {
            Measurement::Allocation { seconds, .. } => measuring += seconds,
            Measurement::Time { train_seconds, .. } => all += train_seconds,
            _ => {}
        }
    }
    // The time of an epoch that has not ended is not there yet.
    (all > 0.0 && measuring <= all).then(|| measuring / all)
}
