//! What the records say of each plan, in one row.

use polars::prelude::{ChunkQuantile, DataFrame};

use crate::Result;
use crate::draws::{Drawn, drawn};
use crate::frame::{describe, numbers, only, texts, whole};
use crate::student;
use crate::study::{Run, Study};
use crate::tables::{MEMORY, Tables};
use packlight_record::Measurement;
use packlight_spec::NamedPlan;

/// Mean and spread of a quantity over seeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) n: u64,
    pub(crate) mean: f64,
    /// Standard deviation (n - 1); NaN for one seed.
    pub(crate) sd: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Spread {
    /// Half the width of the 95 % interval of the mean, by Student's t; `None` for one seed.
    pub(crate) fn half_interval(&self) -> Option<f64> {
        student::half_interval(self.n, self.sd)
    }
}

/// How one layer fares under one plan, over all probed steps and seeds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LayerRow {
    pub(crate) layer: String,
    /// NaN where every cosine is undefined.
    pub(crate) cosine: f64,
    pub(crate) lowest_cosine: f64,
    pub(crate) relative_error: f64,
    /// The median learning indicator, averaged over steps and seeds.
    pub(crate) indicator: f64,
    /// The same over samples, of a linear layer whose samples have several tokens; NaN elsewhere.
    pub(crate) sample_indicator: f64,
    /// Its mean learning indicator, over steps and seeds too.
    pub(crate) mean_indicator: f64,
    /// The fraction of samples at or below 0.
    pub(crate) nonpositive: f64,
    pub(crate) kept: f64,
    pub(crate) raw: f64,
}

impl LayerRow {
    /// Whether the plan's codec keeps less than the exact input, or changes its gradient all the
    /// same, as one does that acts on the output's gradient.
    pub(crate) fn compressed(&self) -> bool {
        self.kept < self.raw || self.relative_error > 0.0
    }
}

/// How the gradient of one parameter fares under one plan between whole passes, over all probed steps
/// and seeds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ParameterRow {
    pub(crate) parameter: String,
    /// NaN where every cosine is undefined.
    pub(crate) cosine: f64,
    pub(crate) highest_error: f64,
}

/// One plan's row of the comparison; `None` where the records do not hold it.
#[derive(Debug, Clone)]
pub(crate) struct PlanRow {
    pub(crate) plan: NamedPlan,
    pub(crate) planned_epochs: u64,
    /// Runs that the study asks for.
    pub(crate) planned: u64,
    pub(crate) finished: u64,
    /// Test accuracy after the last epoch of the finished runs.
    pub(crate) accuracy: Option<Spread>,
    /// Final accuracy and peak bytes of each finished run that has both.
    pub(crate) runs: Vec<RunPoint>,
    /// Bytes kept for the backward pass of one step, predicted and counted.
    pub(crate) kept: Option<f64>,
    pub(crate) counted: Option<f64>,
    /// Bytes that codecs remember from step to step.
    pub(crate) memory: Option<f64>,
    /// Held at once at most: of the pass, with what checkpointed parts keep anew, and codecs' memory.
    pub(crate) held: Option<f64>,
    /// Peaks in one step: of kept bytes by the ledger, of live bytes by the allocator.
    pub(crate) peak_kept: Option<f64>,
    pub(crate) peak_allocated: Option<f64>,
    /// The process's resident peak when its last run ended.
    pub(crate) resident: Option<f64>,
    /// Median time of a training step in seconds.
    pub(crate) step_seconds: Option<f64>,
    /// What measuring sensitivities took of a run beside its steps, mean over the runs.
    pub(crate) calibration_seconds: Option<f64>,
    pub(crate) layers: Vec<LayerRow>,
    /// The parameters whose gradient differs between whole passes; `None` where there were none.
    pub(crate) changed: Option<Vec<ParameterRow>>,
    /// Bias and variance of the gradient, where passes were repeated.
    pub(crate) drawn: Option<Drawn>,
}

/// A finished run's final accuracy and what a step of it took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RunPoint {
    pub(crate) accuracy: f64,
    pub(crate) peak_kept: Option<f64>,
    pub(crate) peak_allocated: Option<f64>,
    /// Held at once at most, by the ledger, with what codecs remember.
    pub(crate) held: Option<f64>,
    /// Median time of a training step in seconds.
    pub(crate) step_seconds: Option<f64>,
}

impl PlanRow {
    /// Layers whose input is kept compressed.
    pub(crate) fn compressed(&self) -> impl Iterator<Item = &LayerRow> {
        self.layers.iter().filter(|l| l.compressed())
    }

    /// Whether the probe saw any layer kept compressed.
    pub(crate) fn compresses(&self) -> bool {
        self.compressed().next().is_some()
    }

    /// Whether any gradient was seen to differ from the exact one, be it through other layers alone.
    pub(crate) fn alters(&self) -> bool {
        self.compresses() || self.changed().next().is_some()
    }

    /// The parameters whose gradient was seen to differ between whole passes.
    pub(crate) fn changed(&self) -> impl Iterator<Item = &ParameterRow> {
        self.changed.iter().flatten()
    }

    /// Mean cosine between whole passes, over the parameters whose gradient differs.
    pub(crate) fn whole_cosine(&self) -> Option<f64> {
        mean(self.changed().map(|p| p.cosine))
    }

    /// Bytes held at once at most as a share of `base`'s.
    pub(crate) fn held_ratio(&self, base: Option<&PlanRow>) -> Option<f64> {
        let (own, from) = self.held.zip(base?.held)?;
        (from > 0.0).then(|| own / from)
    }

    /// Mean cosine over the compressed layers.
    pub(crate) fn cosine(&self) -> Option<f64> {
        mean(self.compressed().map(|l| l.cosine))
    }

    /// The compressed layer with the lowest mean cosine.
    pub(crate) fn worst(&self) -> Option<&LayerRow> {
        let defined = self.compressed().filter(|l| l.cosine.is_finite());
        defined.min_by(|a, b| a.cosine.total_cmp(&b.cosine))
    }

    /// The mean over the compressed layers of their mean learning indicators.
    pub(crate) fn indicator(&self) -> Option<f64> {
        mean(self.compressed().map(|l| l.mean_indicator))
    }

    /// The mean over the compressed layers of the fraction of samples at or below 0.
    pub(crate) fn nonpositive(&self) -> Option<f64> {
        mean(self.compressed().map(|l| l.nonpositive))
    }

    /// The median time of a training step as a multiple of `base`'s.
    pub(crate) fn time_ratio(&self, base: Option<&PlanRow>) -> Option<f64> {
        let (own, from) = self.step_seconds.zip(base?.step_seconds)?;
        (from > 0.0).then(|| own / from)
    }
}

/// The first plan of each codec: plans that differ in their epochs alone keep the same.
pub(crate) fn codecs(plans: &[PlanRow]) -> impl Iterator<Item = &PlanRow> {
    let first = |spec: &str| plans.iter().position(|p| p.plan.spec == spec);
    plans.iter().enumerate().filter(move |(i, p)| first(&p.plan.spec) == Some(*i)).map(|(_, p)| p)
}

/// The mean of the finite values, if there is one.
pub(crate) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let finite: Vec<f64> = values.filter(|v| v.is_finite()).collect();
    (!finite.is_empty()).then(|| finite.iter().sum::<f64>() / finite.len() as f64)
}

/// One row for each plan.
///
/// # Errors
/// If a table lacks a column, which those of this crate do not.
pub(crate) fn rows(study: &Study, tables: &Tables) -> Result<Vec<PlanRow>> {
    study.plans.iter().map(|plan| row(study, tables, plan)).collect()
}

fn row(study: &Study, tables: &Tables, plan: &NamedPlan) -> Result<PlanRow> {
    let here = |table: &DataFrame| only(table, "plan", &plan.name);
    let epochs = here(&tables.epochs)?;
    let kept = here(&tables.kept)?;
    let (memory, pass): (Vec<bool>, Vec<bool>) =
        texts(&kept, "part")?.iter().map(|part| (part == MEMORY, part != MEMORY)).unzip();
    let memory = kept.filter(&memory.into_iter().collect())?;
    let pass = kept.filter(&pass.into_iter().collect())?;
    let peaks = here(&tables.peaks)?;
    let times = here(&tables.times)?;
    let mut points = Vec::new();
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
        if let Some(last) = numbers(&of_seed(&epochs)?, "test_accuracy")?.last() {
            points.push(RunPoint {
                accuracy: *last,
                peak_kept,
                peak_allocated: maximum(numbers(&own, "allocated")?.into_iter()),
                held: held(peak_kept.or(kept), remembered),
                step_seconds: of_seed(&times)?.column("step_seconds")?.f64()?.median(),
            });
        }
    }
    let resident = study.of(&plan.name).flat_map(|r| &r.measurements).filter_map(|m| match m {
        Measurement::Resident { peak, .. } => Some(*peak as f64),
        _ => None,
    });
    let calibrated = study.of(&plan.name).filter_map(calibration);
    let missing = study.missing.iter().filter(|(name, _)| *name == plan.name);
    let (kept, remembered) = (per_step(&pass, "kept")?, per_step(&memory, "kept")?);
    let peak_kept = maximum(numbers(&peaks, "kept")?.into_iter());
    Ok(PlanRow {
        planned_epochs: study.of(&plan.name).map(|r| r.manifest.epochs).max().unwrap_or(0),
        planned: (study.of(&plan.name).count() + missing.count()) as u64,
        finished: study.of(&plan.name).filter(|r| r.finished()).count() as u64,
        accuracy: spread(points.iter().map(|p| p.accuracy)),
        runs: points,
        kept,
        counted: per_step(&pass, "counted")?,
        memory: remembered,
        held: held(peak_kept.or(kept), remembered),
        peak_kept,
        peak_allocated: maximum(numbers(&peaks, "allocated")?.into_iter()),
        resident: maximum(resident),
        step_seconds: times.column("step_seconds")?.f64()?.median(),
        calibration_seconds: mean(calibrated),
        layers: layers(&here(&tables.gradients)?)?,
        changed: changed(&here(&tables.whole_gradients)?)?,
        drawn: drawn(study.of(&plan.name)),
        plan: plan.clone(),
    })
}

/// Seconds that a run spent on measuring sensitivities, if its codecs asked for them.
fn calibration(run: &Run) -> Option<f64> {
    let seconds = run.measurements.iter().filter_map(|measurement| match measurement {
        Measurement::Calibration { seconds, .. } => Some(*seconds),
        _ => None,
    });
    seconds.reduce(|all, seconds| all + seconds)
}

/// What a pass keeps at most, and what outlives it.
fn held(pass: Option<f64>, remembered: Option<f64>) -> Option<f64> {
    Some(pass? + remembered.unwrap_or(0.0))
}

fn maximum(values: impl Iterator<Item = f64>) -> Option<f64> {
    values.filter(|v| v.is_finite()).reduce(f64::max)
}

fn spread(values: impl Iterator<Item = f64>) -> Option<Spread> {
    let values: Vec<f64> = values.filter(|v| v.is_finite()).collect();
    let n = values.len();
    let mean = mean(values.iter().copied())?;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    let sd = if n > 1 { (squares / (n - 1) as f64).sqrt() } else { f64::NAN };
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Some(Spread { n: n as u64, mean, sd, low, high })
}

/// The sum of a column over one step, mean over steps and seeds; `None` where a value is missing.
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

fn layers(gradients: &DataFrame) -> Result<Vec<LayerRow>> {
    if gradients.height() == 0 {
        return Ok(Vec::new());
    }
    let by = |value: &str| describe(gradients, &["layer"], value);
    let cosine = by("cosine")?;
    let names = texts(&cosine, "layer")?;
    let (means, lows) = (numbers(&cosine, "mean")?, numbers(&cosine, "low")?);
    let column = |value: &str| numbers(&by(value)?, "mean");
    let (error, indicator) = (column("relative_error")?, column("li_median")?);
    let sample_indicator = column("li_sample_median")?;
    let mean_indicator = column("li_mean")?;
    let nonpositive = column("li_nonpositive")?;
    let (kept, raw) = (column("kept_bytes")?, column("raw_bytes")?);
    let row = |(i, layer)| LayerRow {
        layer,
        cosine: means[i],
        lowest_cosine: lows[i],
        relative_error: error[i],
        indicator: indicator[i],
        sample_indicator: sample_indicator[i],
        mean_indicator: mean_indicator[i],
        nonpositive: nonpositive[i],
        kept: kept[i],
        raw: raw[i],
    };
    Ok(names.into_iter().enumerate().map(row).collect())
}

fn changed(gradients: &DataFrame) -> Result<Option<Vec<ParameterRow>>> {
    if gradients.height() == 0 {
        return Ok(None);
    }
    let cosines = describe(gradients, &["parameter"], "cosine")?;
    let errors = describe(gradients, &["parameter"], "relative_error")?;
    let (means, highest) = (numbers(&cosines, "mean")?, numbers(&errors, "high")?);
    let row =
        |(i, parameter)| ParameterRow { parameter, cosine: means[i], highest_error: highest[i] };
    let rows = texts(&cosines, "parameter")?.into_iter().enumerate().map(row);
    Ok(Some(rows.filter(|row| row.highest_error > 0.0).collect()))
}
