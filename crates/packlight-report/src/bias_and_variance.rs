//! Bias and variance of a whole network's gradient, over repeated backward passes on one batch.

use std::collections::BTreeMap;

use packlight_record::Record;

use crate::study::Run;

/// Bias and variance of one plan's gradient, means over probed steps and seeds.
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
    bias: f64,
    variance: f64,
}

/// Combines the parameters of each step, weighted by the squared norms of their exact gradients;
/// `None` if no step has repeated draws. Parameters whose exact gradient is zero have no relative bias
/// or variance and are left out.
pub(crate) fn bias_and_variance<'a>(
    runs: impl Iterator<Item = &'a Run>,
) -> Option<BiasAndVariance> {
    let mut steps: BTreeMap<(u64, u64), Squares> = BTreeMap::new();
    let mut most = 0;
    for run in runs {
        for record in &run.records {
            let Record::WholeGradient { step, fidelity, draws: Some(draws), .. } = record else {
                continue;
            };
            let (Some(bias), Some(variance)) = (draws.bias, draws.variance) else { continue };
            let square = fidelity.exact_norm * fidelity.exact_norm;
            let sum = steps.entry((run.manifest.seed, *step)).or_default();
            sum.exact += square;
            sum.bias += (bias * bias - variance / draws.count.max(1) as f64) * square;
            sum.variance += variance * square;
            most = most.max(draws.count);
        }
    }
    let defined: Vec<&Squares> = steps.values().filter(|s| s.exact > 0.0).collect();
    let mean =
        |of: fn(&Squares) -> f64| defined.iter().map(|s| of(s)).sum::<f64>() / defined.len() as f64;
    (!defined.is_empty()).then(|| BiasAndVariance {
        draws: most,
        bias: mean(|s| (s.bias / s.exact).max(0.0).sqrt()),
        variance: mean(|s| s.variance / s.exact),
    })
}
