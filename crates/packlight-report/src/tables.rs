//! The records as tables: one row for each fact, plan and seed first.

use std::collections::HashMap;
use std::path::Path;

use packlight_record::{Distribution, KeptKind, LayerKind, Measurement, Record};
use packlight_spec::NamedPlan;
use polars::prelude::*;

use crate::moves::periods;
use crate::study::{Run, Study};
use crate::{Result, file, frame, step_time};

/// The records of a study as data frames, in long form; undefined numbers are null.
#[derive(Debug)]
pub struct Tables {
    /// Loss and accuracy: plan, seed, epoch, ...
    pub epochs: DataFrame,
    /// Fidelity of gradients: plan, seed, epoch, step, layer, ...
    pub gradients: DataFrame,
    /// Fidelity of gradients from two whole passes: plan, seed, epoch, step, parameter, ...
    pub whole_gradients: DataFrame,
    /// Bytes kept: plan, seed, step, layer, part, ...
    pub kept: DataFrame,
    /// What adaptive plans give the layers: plan, seed, step, layer, codec, ...
    pub allocations: DataFrame,
    /// Memory over a step: plan, seed, step, event, ...
    pub timeline: DataFrame,
    /// Peaks of a step: plan, seed, step, kept, allocated.
    pub peaks: DataFrame,
    /// Times of whole epochs: plan, seed, epoch, ...
    pub times: DataFrame,
    /// Times of single steps, by turns with the exact plan: codecs, round, baseline, own.
    pub timings: DataFrame,
    /// The layers in forward order, with their kinds.
    pub layers: Vec<(String, LayerKind)>,
}

impl Tables {
    /// Reads the tables of the study in `folder`.
    ///
    /// # Errors
    /// Returns an error if the study has no runs, or the folder cannot be read.
    pub fn read(folder: &Path) -> Result<Self> {
        Self::new(&Study::read(folder, usize::MAX)?)
    }

    /// Makes the tables of all runs.
    ///
    /// # Errors
    /// Returns an error if polars rejects a column.
    pub(crate) fn new(study: &Study) -> Result<Self> {
        let mut layers: Vec<(String, LayerKind)> = Vec::new();
        for record in study.runs.iter().flat_map(|r| &r.records) {
            if let Record::Layer { layer, kind, .. } = record
                && layers.iter().all(|(l, _)| l != layer)
            {
                layers.push((layer.clone(), *kind));
            }
        }
        Ok(Self {
            epochs: epochs(study)?,
            gradients: gradients(study)?,
            whole_gradients: whole_gradients(study)?,
            kept: kept(study, &layers)?,
            allocations: allocations(study)?,
            timeline: timeline(study)?,
            peaks: peaks(study)?,
            times: times(study)?,
            timings: timings(study)?,
            layers,
        })
    }

    /// Writes each table that has rows to `folder` as CSV and returns the files' names.
    ///
    /// # Errors
    /// Returns an error if a file cannot be written.
    pub(crate) fn write(&self, folder: &Path) -> Result<Vec<String>> {
        let tables = [
            ("epochs", &self.epochs),
            ("gradients", &self.gradients),
            ("whole-gradients", &self.whole_gradients),
            ("kept", &self.kept),
            ("allocations", &self.allocations),
            ("timeline", &self.timeline),
            ("peaks", &self.peaks),
            ("times", &self.times),
            ("timings", &self.timings),
        ];
        let mut written = Vec::new();
        for (name, table) in tables.into_iter().filter(|(_, t)| t.height() > 0) {
            written.push(write(folder, name, table)?);
        }
        Ok(written)
    }
}

/// Writes one table to `folder` as CSV and returns the file's name.
///
/// # Errors
/// Returns an error if the file cannot be written.
pub(crate) fn write(folder: &Path, name: &str, table: &DataFrame) -> Result<String> {
    let name = format!("{name}.csv");
    file::write(&folder.join(&name), &frame::csv(table)?)?;
    Ok(name)
}

/// Every record, with its run.
fn records(study: &Study) -> impl Iterator<Item = (&Run, &Record)> {
    study.runs.iter().flat_map(|run| run.records.iter().map(move |record| (run, record)))
}

/// A data frame with a column for each `name: value`, where `value` is made from each row.
macro_rules! table {
    ($rows:expr, |$row:pat_param| $($name:ident: $value:expr),+ $(,)?) => {{
        let rows = $rows;
        df!($(stringify!($name) => rows.iter().map(|#[allow(unused_variables)] $row| $value).collect::<Vec<_>>()),+)
    }};
}

/// Undefined values become null; a NaN would make every mean NaN.
pub(crate) fn finite(value: f64) -> Option<f64> {
    Some(value).filter(|v| v.is_finite())
}

fn epochs(study: &Study) -> PolarsResult<DataFrame> {
    let rows: Vec<_> = records(study)
        .filter_map(|(run, record)| match record {
            Record::Epoch {
                epoch,
                step,
                learning_rate,
                train_loss,
                train_accuracy,
                test_loss,
                test_accuracy,
                test_perplexity,
                test_bleu,
            } => {
                let values = [train_loss, train_accuracy, test_loss, test_accuracy];
                let values = values.map(|v| finite(*v));
                let of_some = [test_perplexity, test_bleu].map(|v| v.and_then(finite));
                Some((run, *epoch, *step, *learning_rate, values, of_some))
            }
            _ => None,
        })
        .collect();
    table!(rows, |(run, epoch, step, rate, values, of_some)|
        plan: run.manifest.plan.clone(),
        seed: run.manifest.seed,
        epoch: *epoch,
        step: *step,
        learning_rate: *rate,
        train_loss: values[0],
        train_accuracy: values[1],
        test_loss: values[2],
        test_perplexity: of_some[0],
        test_bleu: of_some[1],
        test_accuracy: values[3],
    )
}

fn gradients(study: &Study) -> PolarsResult<DataFrame> {
    let rows: Vec<_> = records(study)
        .filter_map(|(run, record)| match record {
            Record::Gradient {
                epoch,
                step,
                layer,
                fidelity,
                learning_indicator,
                sample_learning_indicator,
                kept_bytes,
                raw_bytes,
            } => {
                let at = (*epoch, *step, layer.clone());
                let li = (*learning_indicator, *sample_learning_indicator);
                Some((run, at, *fidelity, li, (*kept_bytes, *raw_bytes)))
            }
            _ => None,
        })
        .collect();
    let of = |li: &Option<Distribution>, field: fn(&Distribution) -> f64| {
        li.as_ref().map(field).and_then(finite)
    };
    table!(rows, |(run, at, fidelity, li, bytes)|
        plan: run.manifest.plan.clone(),
        seed: run.manifest.seed,
        epoch: at.0,
        step: at.1,
        layer: at.2.clone(),
        cosine: fidelity.cosine,
        relative_error: fidelity.relative_error,
        norm_ratio: fidelity.norm_ratio,
        snr_db: fidelity.snr_db,
        exact_norm: finite(fidelity.exact_norm),
        li_mean: of(&li.0, |s| s.mean),
        li_p05: of(&li.0, |s| s.p05),
        li_p25: of(&li.0, |s| s.p25),
        li_median: of(&li.0, |s| s.median),
        li_p75: of(&li.0, |s| s.p75),
        li_p95: of(&li.0, |s| s.p95),
        li_nonpositive: of(&li.0, |s| s.nonpositive),
        li_sample_mean: of(&li.1, |s| s.mean),
        li_sample_median: of(&li.1, |s| s.median),
        li_sample_nonpositive: of(&li.1, |s| s.nonpositive),
        kept_bytes: bytes.0,
        raw_bytes: bytes.1,
    )
}

fn whole_gradients(study: &Study) -> PolarsResult<DataFrame> {
    let rows: Vec<_> = records(study)
        .filter_map(|(run, record)| match record {
            Record::WholeGradient { epoch, step, parameter, fidelity, draws } => {
                Some((run, *epoch, *step, parameter.clone(), *fidelity, *draws))
            }
            _ => None,
        })
        .collect();
    table!(rows, |(run, epoch, step, parameter, fidelity, draws)|
        plan: run.manifest.plan.clone(),
        seed: run.manifest.seed,
        epoch: *epoch,
        step: *step,
        parameter: parameter.clone(),
        cosine: fidelity.cosine,
        relative_error: fidelity.relative_error,
        norm_ratio: fidelity.norm_ratio,
        snr_db: fidelity.snr_db,
        exact_norm: finite(fidelity.exact_norm),
        draws: draws.map(|d| d.count),
        bias: draws.and_then(|d| d.bias),
        variance: draws.and_then(|d| d.variance),
    )
}

/// The part that a kept tensor counts towards in figures and tables.
fn part(kept: KeptKind, layer: Option<LayerKind>) -> &'static str {
    match (kept, layer) {
        (KeptKind::Input, Some(LayerKind::Conv | LayerKind::Linear)) => "conv and linear inputs",
        (KeptKind::Input, Some(LayerKind::Norm)) => "norm inputs",
        (KeptKind::Input, _) => "other inputs",
        (KeptKind::Mask, _) => "masks and indices",
        (KeptKind::Statistics, _) => "statistics",
        (KeptKind::CodecState, _) => CODEC_STATE,
    }
}

/// The parts in the order in which bars are stacked.
pub(crate) const PARTS: [&str; 6] = [
    "conv and linear inputs",
    "norm inputs",
    "other inputs",
    "masks and indices",
    "statistics",
    CODEC_STATE,
];

/// The parts that are inputs of layers.
pub(crate) const INPUTS: [&str; 3] = [PARTS[0], PARTS[1], PARTS[2]];

/// The state that codecs carry from step to step. It outlives the pass and is counted separately.
pub(crate) const CODEC_STATE: &str = "codec state";

/// One row for each layer and part, with the sums over its kept tensors.
fn kept(study: &Study, layers: &[(String, LayerKind)]) -> PolarsResult<DataFrame> {
    let mut rows = Vec::new();
    for run in &study.runs {
        let mut counted: HashMap<(u64, &str, KeptKind), u64> = HashMap::new();
        for measurement in &run.measurements {
            if let Measurement::Counted { step, layer, kind, bytes } = measurement {
                *counted.entry((*step, layer, *kind)).or_default() += bytes;
            }
        }
        let mut places: HashMap<(u64, &str, KeptKind), usize> = HashMap::new();
        for record in &run.records {
            let Record::Kept { step, layer, kind, payload, metadata, raw } = record else {
                continue;
            };
            let at = (*step, layer.as_str(), *kind);
            let place = *places.entry(at).or_insert_with(|| {
                rows.push((run, at, [0; 3], counted.get(&at).copied()));
                rows.len() - 1
            });
            let sums = rows[place].2.iter_mut();
            sums.zip([payload, metadata, raw]).for_each(|(sum, bytes)| *sum += bytes);
        }
    }
    let layer_kind = |name: &str| layers.iter().find(|(l, _)| l == name).map(|(_, kind)| *kind);
    table!(rows, |(run, at, bytes, counted)|
        plan: run.manifest.plan.clone(),
        seed: run.manifest.seed,
        step: at.0,
        layer: at.1.to_string(),
        part: part(at.2, layer_kind(at.1)),
        payload: bytes[0],
        metadata: bytes[1],
        kept: bytes[0] + bytes[1],
        raw: bytes[2],
        counted: *counted,
    )
}

fn allocations(study: &Study) -> PolarsResult<DataFrame> {
    let mut rows = Vec::new();
    for run in &study.runs {
        for period in periods(run) {
            rows.extend(period.layers.iter().map(|layer| (run, period.step, layer)));
        }
    }
    table!(rows, |(run, step, layer)|
        plan: run.manifest.plan.clone(),
        seed: run.manifest.seed,
        step: *step,
        layer: layer.layer.clone(),
        codec: layer.codec.clone(),
        kept: layer.kept_bytes,
        raw: layer.raw_bytes,
        squared_error: finite(layer.error),
    )
}

/// Live bytes and peak by the counting allocator, for a step with a timeline.
fn allocated(run: &Run, at: u64) -> Option<(&[i64], i64)> {
    run.measurements.iter().find_map(|m| match m {
        Measurement::Allocated { step, points, peak } if *step == at => Some((&points[..], *peak)),
        _ => None,
    })
}

fn timeline(study: &Study) -> PolarsResult<DataFrame> {
    let mut rows = Vec::new();
    for (run, record) in records(study) {
        if let Record::Timeline { step, points } = record {
            let live = allocated(run, *step).map(|(live, _)| live);
            let live = live.filter(|live| live.len() == points.len());
            for (event, point) in points.iter().enumerate() {
                rows.push((run, (*step, event as u64), point, live.map(|live| live[event])));
            }
        }
    }
    table!(rows, |(run, at, point, live)|
        plan: run.manifest.plan.clone(),
        seed: run.manifest.seed,
        step: at.0,
        event: at.1,
        layer: point.layer.clone(),
        backward: point.backward,
        kept: point.kept,
        live: *live,
    )
}

fn peaks(study: &Study) -> PolarsResult<DataFrame> {
    let mut rows = Vec::new();
    for (run, record) in records(study) {
        if let Record::Timeline { step, points } = record {
            let kept = points.iter().map(|p| p.kept).max().unwrap_or(0);
            rows.push((run, *step, kept, allocated(run, *step).map(|(_, peak)| peak)));
        }
    }
    table!(rows, |(run, step, kept, allocated)|
        plan: run.manifest.plan.clone(),
        seed: run.manifest.seed,
        step: *step,
        kept: *kept,
        allocated: *allocated,
    )
}

fn times(study: &Study) -> PolarsResult<DataFrame> {
    let mut rows = Vec::new();
    for run in &study.runs {
        for measurement in &run.measurements {
            if let Measurement::Time { epoch, steps, train_seconds, test_seconds } = measurement {
                let step = (*steps > 0).then(|| train_seconds / *steps as f64).and_then(finite);
                rows.push((run, *epoch, *steps, [*train_seconds, *test_seconds], step));
            }
        }
    }
    table!(rows, |(run, epoch, steps, seconds, step)|
        plan: run.manifest.plan.clone(),
        seed: run.manifest.seed,
        epoch: *epoch,
        steps: *steps,
        train_seconds: seconds[0],
        test_seconds: seconds[1],
        step_seconds: *step,
    )
}

fn timings(study: &Study) -> PolarsResult<DataFrame> {
    let timings = codecs(&study.plans).filter_map(|spec| step_time::current(study, spec));
    let rows: Vec<_> = timings
        .flat_map(|timing| (0u64..).zip(&timing.rounds).map(move |round| (timing, round)))
        .collect();
    table!(rows, |(timing, (round, seconds))|
        codecs: timing.plan.clone(),
        round: *round,
        baseline: seconds.baseline,
        own: seconds.own,
    )
}

/// The texts of the plans, each once: plans of one text have the same steps.
fn codecs(plans: &[NamedPlan]) -> impl Iterator<Item = &str> {
    let first = |spec: &str| plans.iter().position(|plan| plan.spec == spec);
    let once = plans.iter().enumerate().filter(move |(i, plan)| first(&plan.spec) == Some(*i));
    once.map(|(_, plan)| plan.spec.as_str())
}
