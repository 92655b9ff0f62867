//! `packlight allocate`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use packlight::allocation::{
    Allocation, Estimate, LeftOut, Measured, Neighbour, Neighbours, Objective, knee,
};
use packlight::figure::binary;
use packlight::record::layout::{SCORES, SENSITIVITY, STUDY};
use packlight::record::{LayerKind, SensitivityRecord, read_log};
use packlight::spec::Point;
use packlight::study::{Options, data};
use serde::Serialize;

use super::study_folder;
use super::verify::{Verified, only_recomputing, plans_of_scores, verify};
use crate::budget::Budget;
use crate::output::{Output, say};

/// The most rows of the table of the frontier, knee and ends included.
const ROWS: usize = 12;

/// Find the plan that keeps at most so many bytes and disturbs the gradient least.
///
/// Reads DIR/sensitivity/scores.jsonl, which `packlight sensitivity DIR` writes, and prints a line to
/// paste under `[plans]` in study.toml. Each layer gets one of the codecs that were measured at it, or
/// stays exact. Layers that save the same tensor and pack it alike share one copy, and masks and
/// statistics, which every plan keeps, count as well.
///
/// Errors are those of the gradient of all parameters, relative to its norm. The prediction adds up
/// the squared errors of the layers, each measured with all others exact; with `--objective worst` it
/// is the largest of them. The interval is a bootstrap over the measured batches.
///
/// The frontier is what no other plan beats in both bytes and error. Its knee is the plan from which
/// on saving bytes costs the most.
///
/// With `--recompute`, whole blocks may be recomputed in the backward pass instead: that has no error, but
/// takes the time of their forward pass once more, so as few as will do are. The bytes are then those of the
/// peak, which may lie in the backward pass, where a block is there again. With `--fit-peak` they are those
/// of a whole step at its peak: parameters, buffers, the optimizer's state and gradients, as `packlight plan`
/// counts them, besides what is kept.
#[derive(Args)]
#[command(after_help = "\
Examples:
  packlight allocate reports/mine --budget 200MiB
  packlight allocate reports/mine --budget 0.3x --why
  packlight allocate reports/mine --budget 0.3x --objective worst --point end --json
  packlight allocate reports/mine --budget 0.2x --recompute
  packlight allocate reports/mine --fit-peak 12GiB --recompute
  packlight allocate reports/mine --budget 0.3x --verify")]
pub(crate) struct Arguments {
    /// The folder of a study whose layers were measured
    dir: PathBuf,
    /// The most bytes to keep (B, KiB, MiB, GiB; KB, MB and GB count in thousands), or a share of what
    /// the exact plan keeps, such as 0.3x
    #[arg(long, required_unless_present = "fit_peak", conflicts_with = "fit_peak")]
    budget: Option<Budget>,
    /// The most bytes that a step may hold at its peak, or a share of those of the exact plan
    #[arg(long, value_name = "BUDGET")]
    fit_peak: Option<Budget>,
    /// Also recompute blocks
    #[arg(long)]
    recompute: bool,
    /// What to minimise
    #[arg(long, value_enum, default_value = "sum")]
    objective: Minimised,
    /// Use only what was measured at this point of the training: start, a share such as 0.1, or end
    /// [default: the mean over all points]
    #[arg(long, value_parser = point)]
    point: Option<Point>,
    /// Show for each layer what the next cheaper and the next better codec would cost
    #[arg(long)]
    why: bool,
    /// Train the plan beside its rivals under the study's protocol: exact, the codecs at all layers alike
    /// that fit the budget, the largest plans of ASI, ActNN and GACT that fit, the best that only recomputes
    /// blocks, and plans drawn at random from those that fit. With --fit-peak, these three have the bytes
    /// that the plan keeps. Records and report are in DIR/verify-NAME
    #[arg(long)]
    verify: bool,
    /// Remove the runs of an earlier --verify of this budget and start again
    #[arg(long, requires = "verify")]
    overwrite: bool,
    /// The folder with the data sets that are not built in, for --verify [default: $PACKLIGHT_DATA]
    #[arg(long, value_name = "DIR", requires = "verify")]
    data_dir: Option<PathBuf>,
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Minimised {
    /// The error of the whole gradient
    Sum,
    /// The error of the layer that disturbs it most
    Worst,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Answer {
    /// The name under which the plan is printed.
    name: String,
    plan: String,
    objective: Objective,
    point: Option<Point>,
    /// Whether bytes are those of a whole step, not only what is kept.
    fit_peak: bool,
    budget: u64,
    /// At the peak.
    bytes: u64,
    /// What is kept of it.
    kept_bytes: u64,
    /// The least that the plan kept in the measurements.
    least_bytes: u64,
    fixed_bytes: u64,
    exact_bytes: u64,
    /// The relative squared error of the gradient.
    error: Estimate,
    gap: f64,
    /// The blocks that are recomputed.
    recomputed: Vec<String>,
    layers: Vec<Layer>,
    /// By falling bytes.
    frontier: Vec<OnFrontier>,
    left_out: Vec<LeftOut>,
    /// What came of training it beside its rivals.
    #[serde(skip_serializing_if = "Option::is_none")]
    verified: Option<Verified>,
}

#[derive(Serialize)]
struct Layer {
    layer: String,
    kind: LayerKind,
    codec: String,
    /// 0 in a block that is recomputed.
    bytes: u64,
    least_bytes: u64,
    /// The block that it is recomputed with.
    #[serde(skip_serializing_if = "Option::is_none")]
    recomputed: Option<String>,
    /// The layer before it whose copy it shares.
    #[serde(skip_serializing_if = "Option::is_none")]
    shares: Option<String>,
    error: Estimate,
    at_floor: bool,
    #[serde(flatten)]
    neighbours: Neighbours,
}

#[derive(Serialize)]
struct OnFrontier {
    bytes: u64,
    error: f64,
    knee: bool,
    plan: String,
}

fn point(text: &str) -> Result<Point, String> {
    let share = serde_json::from_str(text); // "start" and "end" are no JSON
    share.or_else(|_| serde_json::from_value(text.into())).map_err(|e| e.to_string())
}

impl Arguments {
    pub(crate) fn run(self, out: &mut Output) -> anyhow::Result<ExitCode> {
        let measured = self.measured()?;
        let (mut answer, allocation) = self.answer(&measured)?;
        if !self.json {
            answer.print(self.why, out)?;
            out.finish()?; // before the training, which takes its time
        }
        if self.verify {
            let plans = plans_of_scores(&measured, &answer.name, &allocation, answer.budget);
            let only = only_recomputing(&measured, answer.budget);
            let budget = if answer.fit_peak { answer.kept_bytes } else { answer.budget };
            let overwrite = self.overwrite;
            let data_dir = data::data_dir(self.data_dir);
            let options = Options { overwrite, data_dir, ..Options::default() };
            answer.verified = Some(verify(&self.dir, &answer.name, plans, only, budget, options)?);
        }
        match (&answer.verified, self.json) {
            (_, true) => out.json(&answer)?,
            (Some(verified), false) => verified.print(out)?,
            (None, false) => {}
        }
        Ok(answer.verified.map_or(ExitCode::SUCCESS, |verified| verified.code()))
    }

    fn answer(&self, measured: &Measured) -> anyhow::Result<(Answer, Allocation)> {
        let objective = match self.objective {
            Minimised::Sum => Objective::Sum,
            Minimised::Worst => Objective::Worst,
        };
        let (asked, fit_peak) = match (&self.budget, &self.fit_peak) {
            (_, Some(peak)) => (peak, true),
            (Some(budget), None) => (budget, false),
            (None, None) => bail!("--budget: a number of bytes expected, such as 200MiB"),
        };
        let budget = asked.bytes(measured.exact_bytes());
        let named = [(fit_peak, "-peak"), (self.recompute, "-recompute")];
        let endings = named.into_iter().filter_map(|(is, ending)| is.then_some(ending));
        let allocation = measured.allocate(budget, objective)?;
        let frontier = measured.frontier(objective);
        let knee = knee(&frontier);
        let on_frontier = |(number, point): (usize, &Allocation)| OnFrontier {
            bytes: point.bytes,
            error: point.error,
            knee: Some(number) == knee,
            plan: measured.plan(point),
        };
        let recomputed = allocation.recomputed.iter().filter_map(|&block| measured.block(block));
        let answer = Answer {
            name: [asked.plan_name().as_str()].into_iter().chain(endings).collect(),
            plan: measured.plan(&allocation),
            objective,
            point: self.point,
            fit_peak,
            budget,
            bytes: allocation.bytes,
            kept_bytes: measured.kept_bytes(&allocation),
            least_bytes: measured.least_bytes(&allocation),
            fixed_bytes: measured.fixed_bytes(),
            exact_bytes: measured.exact_bytes(),
            error: measured.estimate(&allocation, objective),
            gap: allocation.gap,
            recomputed: recomputed.map(str::to_owned).collect(),
            layers: layers(measured, &allocation),
            frontier: frontier.iter().enumerate().map(on_frontier).collect(),
            left_out: measured.left_out().to_vec(),
            verified: None,
        };
        Ok((answer, allocation))
    }

    fn measured(&self) -> anyhow::Result<Measured> {
        study_folder::check(&self.dir, "allocate", &[SENSITIVITY, STUDY])?;
        let path = self.dir.join(SENSITIVITY).join(SCORES);
        let log = read_log::<SensitivityRecord>(&path)?;
        let measure = format!("packlight sensitivity {}", self.dir.display());
        if log.values.is_empty() {
            bail!("{}: there are no scores; measure them with `{measure}`", path.display());
        }
        if log.torn {
            say(format_args!("{}: the last line is torn; `{measure}` goes on", path.display()));
        }
        let mut measured = Measured::new(&log.values, self.point);
        if self.recompute {
            measured = measured.and_then(Measured::with_recomputing);
        }
        if self.fit_peak.is_some() {
            measured = measured.and_then(Measured::of_steps);
        }
        measured.with_context(|| path.display().to_string())
    }
}

fn layers(measured: &Measured, allocation: &Allocation) -> Vec<Layer> {
    let mut copies: Vec<(u64, &str, &str)> = Vec::new();
    let mut layers = Vec::new();
    let neighbours = measured.neighbours(allocation);
    let choices = measured.layers().iter().zip(&allocation.codecs);
    let blocks = measured.recomputed(allocation);
    for (((layer, codec), neighbours), recomputed) in choices.zip(neighbours).zip(blocks) {
        let facts = &layer.facts;
        let Some(choice) = layer.choices.iter().find(|choice| choice.codec == *codec) else {
            continue; // each codec of an allocation is a choice of its layer
        };
        let kept = copies.iter().find(|copy| (copy.0, copy.1) == (facts.source, &choice.copy));
        let shares = kept.map(|copy| copy.2.to_owned()).filter(|_| recomputed.is_none());
        copies.push((facts.source, &choice.copy, &facts.layer));
        let of_copy = |bytes: u64| if recomputed.is_some() { 0 } else { bytes };
        layers.push(Layer {
            layer: facts.layer.clone(),
            kind: facts.kind,
            codec: codec.clone(),
            bytes: of_copy(choice.bytes),
            least_bytes: of_copy(choice.least_bytes),
            recomputed: recomputed.map(str::to_owned),
            shares,
            error: choice.error,
            at_floor: layer.at_floor,
            neighbours,
        });
    }
    layers
}

impl Layer {
    /// What becomes of what it saves.
    fn told(&self) -> &str {
        if self.recomputed.is_some() { "recomputed" } else { &self.codec }
    }
}

impl Answer {
    fn print(&self, why: bool, out: &mut Output) -> anyhow::Result<()> {
        writeln!(out, "{} = \"{}\"\n", self.name, self.plan)?;
        let share = self.bytes as f64 / self.exact_bytes.max(1) as f64;
        let (kept, exact) = (range(self.least_bytes, self.bytes), size(self.exact_bytes));
        match (self.fit_peak, self.recomputed.is_empty()) {
            (true, _) => {
                let of = size(self.kept_bytes);
                writeln!(
                    out,
                    "peak    {kept} of {exact} exact ({share:.3}x); {of} are kept at most"
                )?;
            }
            (false, true) => {
                let fixed = size(self.fixed_bytes);
                writeln!(
                    out,
                    "kept    {kept} of {exact} exact ({share:.3}x); {fixed} are masks and statistics"
                )?;
            }
            (false, false) => {
                writeln!(out, "kept    {kept} of {exact} exact ({share:.3}x) at the peak")?;
            }
        }
        if !self.recomputed.is_empty() {
            let blocks = self.recomputed.join(", ");
            writeln!(
                out,
                "twice   {blocks}: recomputed, which takes the time of their forward pass"
            )?;
        }
        let Estimate { mean, low, high, n } = self.error;
        let interval = match n {
            0 => String::new(),
            1 => " (from one batch)".to_owned(),
            n => format!(" ({} to {}, 95 % interval from {n} batches)", norm(low), norm(high)),
        };
        let of = match self.objective {
            Objective::Sum => "of the gradient's norm",
            Objective::Worst => "of the gradient's norm by the worst layer",
        };
        writeln!(out, "error   {} {of}{interval}", norm(mean))?;
        if self.gap > 0.0 {
            let least = norm((mean - self.gap).max(0.0));
            writeln!(out, "        the search was cut short; no plan has less than {least}")?;
        }
        if why {
            self.print_layers(out)?;
        }
        self.print_frontier(out)?;
        let floor: Vec<&str> = self
            .layers
            .iter()
            .filter(|layer| layer.at_floor)
            .map(|layer| layer.layer.as_str())
            .collect();
        if !floor.is_empty() {
            let layers = floor.join(", ");
            writeln!(
                out,
                "\nAt the numerical floor, where errors say nothing of a layer: {layers}"
            )?;
        }
        if !self.left_out.is_empty() {
            writeln!(out, "\nLeft out:")?;
        }
        for LeftOut { layer, codec, reason } in &self.left_out {
            let codec = codec.as_ref().map_or(String::new(), |codec| format!("={codec}"));
            writeln!(out, "  {layer}{codec}: {reason}")?;
        }
        Ok(())
    }

    fn print_layers(&self, out: &mut Output) -> anyhow::Result<()> {
        let width = self.layers.iter().map(|layer| layer.layer.len()).max().unwrap_or(0);
        let codecs = self.layers.iter().map(|layer| layer.told().len()).max().unwrap_or(0);
        let ranges: Vec<String> =
            self.layers.iter().map(|layer| range(layer.least_bytes, layer.bytes)).collect();
        let bytes = ranges.iter().map(String::len).max().unwrap_or(0);
        writeln!(out, "\nEach layer, and what the next codecs would cost:")?;
        for (layer, range) in self.layers.iter().zip(&ranges) {
            let Layer { layer: name, shares, error, neighbours, .. } = layer;
            let codec = layer.told();
            let error = error.mean;
            write!(out, "  {name:<width$}  {codec:<codecs$}  {range:>bytes$}  {:>8}", norm(error))?;
            if let Some(shares) = shares {
                write!(out, "  shared with {shares}")?;
            }
            let tell = |other: &Neighbour| {
                let sign = if other.bytes < 0 { "-" } else { "+" };
                let (bytes, error) = (size(other.bytes.unsigned_abs()), norm(error + other.error));
                format!("{}, {sign}{bytes}, error {error}", other.codec)
            };
            if let Some(cheaper) = &neighbours.cheaper {
                write!(out, "  cheaper: {}", tell(cheaper))?;
            }
            if let Some(better) = &neighbours.better {
                write!(out, "  better: {}", tell(better))?;
            }
            writeln!(out)?;
        }
        Ok(())
    }

    fn print_frontier(&self, out: &mut Output) -> anyhow::Result<()> {
        let count = self.frontier.len();
        let steps = count.clamp(2, ROWS - 1) - 1;
        let shown = |number: &usize| {
            // Evenly many from the first to the last.
            let is_step = (0..=steps).any(|step| step * (count - 1) / steps == *number);
            is_step || self.frontier[*number].knee
        };
        writeln!(out, "\nFrontier:   kept  of exact     error")?;
        for row in (0..count).filter(shown).map(|number| &self.frontier[number]) {
            let share = row.bytes as f64 / self.exact_bytes.max(1) as f64;
            let knee = if row.knee { "  knee" } else { "" };
            writeln!(out, "{:>16} {share:>8.3}x {:>9}{knee}", size(row.bytes), norm(row.error))?;
        }
        Ok(())
    }
}

pub(super) fn size(bytes: u64) -> String {
    binary(bytes as f64)
}

/// Bytes that may depend on the data.
fn range(least: u64, most: u64) -> String {
    match (size(least), size(most)) {
        (least, most) if least == most => most,
        (least, most) => format!("{least} to {most}"),
    }
}

/// The root of a relative squared error, in per cent.
fn norm(squared: f64) -> String {
    match 100.0 * squared.max(0.0).sqrt() {
        0.0 => "0 %".to_owned(),
        percent if percent >= 1.0 => format!("{percent:.1} %"),
        percent if percent >= 0.01 => format!("{percent:.3} %"),
        percent => format!("{percent:.1e} %"),
    }
}
