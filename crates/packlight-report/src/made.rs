//! Made-up rows for tests.

use packlight_spec::NamedPlan;

use crate::plan::{LayerRow, PlanRow, RunPoint};
use crate::rows::seed_stats;
use crate::training::Training;

/// A plan of the codec that its name begins with, with these final accuracies of the seeds from 0 on.
pub(crate) fn plan(name: &str, epochs: u64, accuracies: &[f64]) -> PlanRow {
    let spec = name.split('-').next().unwrap_or_default();
    let run = |(seed, accuracy): (u64, &f64)| RunPoint {
        seed,
        accuracy: *accuracy,
        peak_allocated: None,
        held: None,
    };
    PlanRow {
        plan: NamedPlan { name: name.into(), epochs: Some(epochs), ..NamedPlan::unnamed(spec) },
        planned_epochs: epochs,
        training: Training::Plain,
        planned: accuracies.len() as u64,
        finished: accuracies.len() as u64,
        accuracy: seed_stats(accuracies.iter().copied()),
        perplexity: None,
        bleu: None,
        comparison: None,
        runs: (0..).zip(accuracies).map(run).collect(),
        kept: None,
        counted: None,
        codec_state: None,
        held: None,
        peak_kept: None,
        peak_allocated: None,
        resident: None,
        time: None,
        calibration_seconds: None,
        bias_and_variance: None,
        changed: None,
        layers: Vec::new(),
    }
}

/// A compressed layer whose mean cosine spreads a little over five seeds.
pub(crate) fn layer(name: &str, cosine: f64) -> LayerRow {
    let spread = [0.01, -0.005, 0.0, 0.005, -0.01];
    LayerRow {
        layer: name.into(),
        cosine,
        lowest_cosine: cosine,
        relative_error: 0.0,
        indicator: 0.0,
        sample_indicator: 0.0,
        mean_indicator: 0.0,
        quantiles: [f64::NAN; 4],
        nonpositive: 0.0,
        kept: 1.0,
        raw: 4.0,
        trained: 1.0,
        // Every layer has its own spread, or all differences would be the same.
        by_seed: (0..)
            .zip(spread)
            .map(|(seed, s)| (seed, cosine + s * name.len() as f64 / 10.0))
            .collect(),
    }
}
