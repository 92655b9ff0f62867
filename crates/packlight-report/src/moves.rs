//! How the codecs of an adaptive plan changed during training.

use packlight_figure::significant;
use packlight_record::{AllocatedLayer, Measurement, Record};

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
