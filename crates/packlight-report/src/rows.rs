//! From the records of a study to a row for each plan.

use packlight_record::Measurement;
use packlight_spec::NamedPlan;
use polars::prelude::DataFrame;

use crate::Result;
use crate::bias_and_variance::bias_and_variance;
use crate::frame::{describe, numbers, only, texts, whole};
use crate::plan::{LayerRow, ParameterRow, PlanRow, RunPoint, SeedStats, mean};
use crate::probed::{Average, Averages, LayerAverages, ParameterAverages};
use crate::study::Study;
use crate::tables::{CODEC_STATE, INPUTS, Tables};
use crate::{comparison, step_time, training};

/// One row for each plan.
///
/// # Errors
/// Returns an error if polars cannot evaluate a table.
pub(crate) fn rows(study: &Study, tables: &Tables) -> Result<Vec<PlanRow>> {
    let rows = study.plans.iter().map(|plan| row(study, tables, plan));
    let mut rows = rows.collect::<Result<Vec<PlanRow>>>()?;
    let base = study.baseline().map(|plan| plan.name.as_str());
    training::classify(&mut rows, base);
    comparison::compare(&mut rows, base, study.accuracies(), study.scales().is_empty());
    Ok(rows)
}

fn row(study: &Study, tables: &Tables, plan: &NamedPlan) -> Result<PlanRow> {
    let here = |table: &DataFrame| only(table, "plan", &plan.name);
    let epochs = here(&tables.epochs)?;
    let kept = here(&tables.kept)?;
    let (memory, pass): (Vec<bool>, Vec<bool>) =
        texts(&kept, "part")?.iter().map(|part| (part == CODEC_STATE, part != CODEC_STATE)).unzip();
    let memory = kept.filter(&memory.into_iter().collect())?;
    let pass = kept.filter(&pass.into_iter().collect())?;
    let averages = study.averages(&plan.name);
    let layers = averages.map(|averages| layers(averages, &kept)).transpose()?.unwrap_or_default();
    let peaks = here(&tables.peaks)?;
    let (mut points, mut perplexities, mut bleus) = (Vec::new(), Vec::new(), Vec::new());
    for run in study.of(&plan.name).filter(|r| r.finished()) {
        let of_seed = |frame: &DataFrame| -> Result<DataFrame> {
            let seeds = whole(frame, "seed")?;
            let mask = seeds.iter().map(|seed| *seed == run.manifest.seed).collect();
            Ok(frame.filter(&mask)?)
        };
        let own = of_seed(&peaks)?;
        let peak_kept = maximum(numbers(&own, "kept")?.into_iter());
        let (kept, remembered) =
            (per_step(&of_seed(&pass)?, "kept")?, per_step(&of_seed(&memory)?, "kept")?);
        let epochs = of_seed(&epochs)?;
        perplexities.extend(numbers(&epochs, "test_perplexity")?.last());
        bleus.extend(numbers(&epochs, "test_bleu")?.last());
        if let Some(last) = numbers(&epochs, "test_accuracy")?.last() {
            points.push(RunPoint {
                seed: run.manifest.seed,
                accuracy: *last,
                peak_allocated: held(maximum(numbers(&own, "allocated")?.into_iter()), remembered),
                held: held(peak_kept.or(kept), remembered),
            });
        }
    }
    let resident = study.of(&plan.name).flat_map(|r| &r.measurements).filter_map(|m| match m {
        Measurement::Resident { peak, .. } => Some(*peak as f64),
        _ => None,
    });
    let calibrated = study.of(&plan.name).filter_map(step_time::measuring);
    let missing = study.missing.iter().filter(|(name, _)| *name == plan.name);
    let (kept, remembered) = (per_step(&pass, "kept")?, per_step(&memory, "kept")?);
    let peak_kept = maximum(numbers(&peaks, "kept")?.into_iter());
    Ok(PlanRow {
        planned_epochs: study.of(&plan.name).map(|r| r.manifest.epochs).max().unwrap_or(0),
        planned: (study.of(&plan.name).count() + missing.count()) as u64,
        finished: study.of(&plan.name).filter(|r| r.finished()).count() as u64,
        training: training::Training::Plain,
        comparison: None,
        accuracy: seed_stats(points.iter().map(|p| p.accuracy)),
        perplexity: seed_stats(perplexities.into_iter()),
        bleu: seed_stats(bleus.into_iter()),
        runs: points,
        kept,
        counted: per_step(&pass, "counted")?,
        codec_state: remembered,
        held: held(peak_kept.or(kept), remembered),
        peak_kept,
        peak_allocated: held(maximum(numbers(&peaks, "allocated")?.into_iter()), remembered),
        resident: mean(resident),
        time: step_time::of(study, plan),
        calibration_seconds: mean(calibrated),
        layers,
        changed: averages.and_then(changed),
        bias_and_variance: bias_and_variance(study.of(&plan.name)),
        plan: plan.clone(),
    })
}

/// The most that a pass takes, plus the codec state that outlives it.
fn held(pass: Option<f64>, remembered: Option<f64>) -> Option<f64> {
    Some(pass? + remembered.unwrap_or(0.0))
}

fn maximum(values: impl Iterator<Item = f64>) -> Option<f64> {
    values.filter(|v| v.is_finite()).reduce(f64::max)
}

/// Mean, standard deviation and range of the finite values; `None` if there are none.
pub(crate) fn seed_stats(values: impl Iterator<Item = f64>) -> Option<SeedStats> {
    let values: Vec<f64> = values.filter(|v| v.is_finite()).collect();
    let n = values.len();
    let mean = mean(values.iter().copied())?;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    let sd = if n > 1 { (squares / (n - 1) as f64).sqrt() } else { f64::NAN };
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Some(SeedStats { n: n as u64, mean, sd, low, high })
}

/// The sum of a column over a step, mean over steps and seeds; `None` if a value is missing.
fn per_step(kept: &DataFrame, column: &str) -> Result<Option<f64>> {
    if kept.height() == 0 {
        return Ok(None);
    }
    let values = numbers(kept, column)?;
    if values.iter().any(|v| v.is_nan()) {
        return Ok(None);
    }
    let steps = describe(kept, &["seed", "step"], column)?.height();
    Ok(Some(values.iter().sum::<f64>() / steps as f64))
}

/// The layers of a plan's gradients, with what training `kept` of their inputs.
fn layers(averages: &Averages, kept: &DataFrame) -> Result<Vec<LayerRow>> {
    if averages.layers.is_empty() {
        return Ok(Vec::new());
    }
    let shares = trained_shares(kept)?;
    let trained = |layer: &str| shares.iter().find(|(name, _)| name == layer).map(|(_, s)| *s);
    let row = |of: &LayerAverages| LayerRow {
        layer: of.layer.clone(),
        cosine: of.cosine.mean(),
        lowest_cosine: of.cosine.low,
        relative_error: of.relative_error.mean(),
        indicator: of.indicator.median.mean(),
        sample_indicator: of.sample_median.mean(),
        mean_indicator: of.indicator.mean.mean(),
        nonpositive: of.indicator.nonpositive.mean(),
        quantiles: [&of.indicator.p05, &of.indicator.p25, &of.indicator.p75, &of.indicator.p95]
            .map(Average::mean),
        kept: of.kept.mean(),
        raw: of.raw.mean(),
        trained: trained(&of.layer).unwrap_or(f64::NAN) * of.raw.mean(),
        by_seed: of.by_seed.iter().map(|(seed, cosine)| (*seed, cosine.mean())).collect(),
    };
    Ok(averages.layers.iter().map(row).collect())
}

/// The share of each layer's input that training steps keep, by the ledger.
fn trained_shares(kept: &DataFrame) -> Result<Vec<(String, f64)>> {
    let inputs = texts(kept, "part")?.iter().map(|part| INPUTS.contains(&part.as_str())).collect();
    let inputs = kept.filter(&inputs)?;
    if inputs.height() == 0 {
        return Ok(Vec::new());
    }
    let (kept, raw) =
        (describe(&inputs, &["layer"], "kept")?, describe(&inputs, &["layer"], "raw")?);
    let shares = numbers(&kept, "mean")?.into_iter().zip(numbers(&raw, "mean")?);
    Ok(texts(&kept, "layer")?.into_iter().zip(shares.map(|(kept, raw)| kept / raw)).collect())
}

fn changed(averages: &Averages) -> Option<Vec<ParameterRow>> {
    let row = |of: &ParameterAverages| ParameterRow {
        parameter: of.parameter.clone(),
        cosine: of.cosine.mean(),
        highest_error: of.relative_error.high,
    };
    let rows = averages.parameters.iter().map(row).filter(|row| row.highest_error > 0.0);
    (!averages.parameters.is_empty()).then(|| rows.collect())
}
