//! Error, bias and variance of a whole network's gradient, over repeated backward passes on one batch.

use std::collections::BTreeMap;

use packlight_record::{Record, VARIANCE_LEFT};

use crate::study::Run;

/// The gradient of one seed's run at one probed step, of all parameters together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct GradientError {
    pub(crate) seed: u64,
    pub(crate) step: u64,
    /// `|h - g| / |g|`.
    pub(crate) error: f64,
    /// Draws, and what they separate; `None` if passes were not repeated.
    pub(crate) drawn: Option<BiasAndVariance>,
}

impl GradientError {
    /// The error that averaging over steps leaves, `sqrt(bias^2 + variance / 19)`; without repeated
    /// passes, the whole error.
    pub(crate) fn lasting(&self) -> f64 {
        match self.drawn {
            Some(drawn) => (drawn.bias.powi(2) + VARIANCE_LEFT * drawn.variance).sqrt(),
            None => self.error,
        }
    }
}

/// The share of the training that counts as early.
pub(crate) const EARLY: f64 = 0.1;

/// The error at the first probed step of a finished run; `None` if that is not early.
pub(crate) fn early_error(run: &Run) -> Option<GradientError> {
    let last = (EARLY * run.steps()? as f64) as u64;
    run.errors.first().copied().filter(|error| error.step <= last)
}

/// Bias and variance of a plan's gradient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct BiasAndVariance {
    /// Draws per step.
    pub(crate) draws: u64,
    /// `|mean(h) - g| / |g|` over all parameters together. The part that an unbiased codec shows by
    /// chance, whose square is the variance divided by the number of draws, is subtracted.
    pub(crate) bias: f64,
    /// `E|h - mean(h)|^2 / |g|^2` over all parameters together.
    pub(crate) variance: f64,
}

/// Sums of squares over the parameters of one step.
#[derive(Default)]
struct Squares {
    exact: f64,
    error: f64,
    /// Of the parameters with draws only.
    exact_drawn: f64,
    bias: f64,
    variance: f64,
    draws: u64,
}

/// Combines the parameters of each step of a run, weighted by the squared norms of their exact gradients, in
/// the order of steps. Parameters whose exact gradient is zero have no relative error and are left out.
pub(crate) fn gradient_errors(seed: u64, records: &[Record]) -> Vec<GradientError> {
    let mut steps: BTreeMap<u64, Squares> = BTreeMap::new();
    for record in records {
        let Record::WholeGradient { step, fidelity, draws, .. } = record else {
            continue;
        };
        let Some(error) = fidelity.relative_error else {
            continue;
        };
        let square = fidelity.exact_norm * fidelity.exact_norm;
        let sum = steps.entry(*step).or_default();
        sum.exact += square;
        sum.error += error * error * square;
        let Some(draws) = draws else { continue };
        let (Some(bias), Some(variance)) = (draws.bias, draws.variance) else {
            continue;
        };
        sum.exact_drawn += square;
        sum.bias += (bias * bias - variance / draws.count.max(1) as f64) * square;
        sum.variance += variance * square;
        sum.draws = sum.draws.max(draws.count);
    }
    let defined = steps.into_iter().filter(|(_, sum)| sum.exact > 0.0);
    defined
        .map(|(step, sum)| GradientError {
            seed,
            step,
            error: (sum.error / sum.exact).sqrt(),
            drawn: (sum.exact_drawn > 0.0).then(|| BiasAndVariance {
                draws: sum.draws,
                bias: (sum.bias / sum.exact_drawn).max(0.0).sqrt(),
                variance: sum.variance / sum.exact_drawn,
            }),
        })
        .collect()
}

/// The means over probed steps and seeds; `None` if no step has repeated draws.
pub(crate) fn bias_and_variance<'a>(
    runs: impl Iterator<Item = &'a Run>,
) -> Option<BiasAndVariance> {
    let steps = runs.flat_map(|run| &run.errors);
    let drawn: Vec<BiasAndVariance> = steps.filter_map(|step| step.drawn).collect();
    let mean =
        |of: fn(&BiasAndVariance) -> f64| drawn.iter().map(of).sum::<f64>() / drawn.len() as f64;
    (!drawn.is_empty()).then(|| BiasAndVariance {
        draws: drawn.iter().map(|d| d.draws).max().unwrap_or(0),
        bias: mean(|d| d.bias),
        variance: mean(|d| d.variance),
    })
}
