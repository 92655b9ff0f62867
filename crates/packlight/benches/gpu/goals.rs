//! What the figures of a run are to be, as ratios within it.

use serde::Serialize;

use crate::figures::{Packers, TimedStep};
use crate::torch::TorchStep;

/// A ratio and its limit.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Goal {
    what: String,
    ratio: f64,
    limit: f64,
    met: bool,
}

/// Limits of a step's time over that of PyTorch's exact step in the same precision.
const OF_TORCH: [(&str, f64); 2] = [("none", 1.0), ("pool2", 0.9)];
/// Limits of a step's time over that of our exact one.
const OF_NONE: [(&str, f64); 2] = [("q2", 1.1), ("hosvd:0.8", 1.5)];
/// The most bytes of a step with 2 bits everywhere, as a share of PyTorch's.
const PEAK: f64 = 0.25;
/// The least rate of a packer, as a share of a copy's.
const RATE: f64 = 0.8;

/// The goals that these figures tell of.
pub(crate) fn of(steps: &[TimedStep], packers: &Packers, torch: &[TorchStep]) -> Vec<Goal> {
    let mut goals = Vec::new();
    for step in steps {
        let &TimedStep { network, plan, precision, .. } = step;
        let alike = |other: &&TimedStep| other.network == network && other.precision == precision;
        let exact = steps.iter().filter(alike).find(|other| other.plan == "none");
        let theirs =
            torch.iter().find(|other| other.network == network && other.precision == precision);
        let limit = |of: &[(&str, f64)]| of.iter().find(|(name, _)| *name == plan).map(|of| of.1);
        if let (Some(limit), Some(theirs)) = (limit(&OF_TORCH), theirs) {
            let what = format!("{network}, {precision}: step with {plan} / PyTorch's");
            goals.push(Goal::at_most(what, step.median_ms / theirs.median_ms, limit));
        }
        if let (Some(limit), Some(exact)) = (limit(&OF_NONE), exact) {
            let what = format!("{network}, {precision}: step with {plan} / with none");
            goals.push(Goal::at_most(what, step.median_ms / exact.median_ms, limit));
        }
        if let ("q2", Some(bytes)) = (plan, theirs.and_then(|theirs| theirs.peak_bytes)) {
            let what = format!("{network}, {precision}: peak with {plan} / PyTorch's");
            goals.push(Goal::at_most(what, step.peak_bytes as f64 / bytes, PEAK));
        }
    }
    for rate in &packers.rates {
        let ratio = rate.bytes_per_s / packers.copy;
        let what = format!("{}: bytes a second / a copy's", rate.packer);
        goals.push(Goal { what, ratio, limit: RATE, met: ratio >= RATE });
    }
    goals
}

impl Goal {
    fn at_most(what: String, ratio: f64, limit: f64) -> Self {
        Self { what, ratio, limit, met: ratio <= limit }
    }
}

/// Prints a table.
pub(crate) fn print(goals: &[Goal]) {
    println!("\nGoals");
    for Goal { what, ratio, limit, met } in goals {
        println!("{what:<54} {ratio:>8.2} {limit:>8.2}  {}", if *met { "met" } else { "missed" });
    }
}
