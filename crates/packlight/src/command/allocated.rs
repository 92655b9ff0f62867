//! What `packlight allocate` answers.

use packlight::allocation::{Estimate, Interval, LeftOut, Neighbour, Neighbours};
use packlight::figure::{binary, significant};
use packlight::record::LayerKind;
use packlight::spec::{PlanSpec, Point};
use serde::Serialize;

use super::allocate::Minimised;
use super::verify::Verified;
use crate::output::Output;

/// The most rows of the table of the frontier, knee and ends included.
const ROWS: usize = 12;

/// What `--json` prints.
#[derive(Serialize)]
pub(super) struct Answer {
    /// The name under which the plan is printed.
    pub(super) name: String,
    pub(super) plan: String,
    pub(super) objective: Minimised,
    /// The number of updates after which the loss counts, where it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) horizon: Option<u64>,
    pub(super) point: Option<Point>,
    /// Whether bytes are those of a whole step, not only what is kept.
    pub(super) fit_peak: bool,
    pub(super) budget: u64,
    /// At the peak.
    pub(super) bytes: u64,
    /// What is kept of it.
    pub(super) kept_bytes: u64,
    /// The least that the plan kept in the measurements.
    pub(super) least_bytes: u64,
    pub(super) fixed_bytes: u64,
    pub(super) exact_bytes: u64,
    /// The relative squared error of the gradient, or the rise of the loss.
    pub(super) error: Estimate,
    /// The relative squared error of the gradient, where the loss counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) gradient_error: Option<Estimate>,
    pub(super) gap: f64,
    /// How many times as long as an exact pass one with the plan takes, where that was measured.
    pub(super) slowdown: Option<f64>,
    /// The blocks that are recomputed.
    pub(super) recomputed: Vec<String>,
    pub(super) layers: Vec<Layer>,
    /// By falling bytes.
    pub(super) frontier: Vec<OnFrontier>,
    pub(super) left_out: Vec<LeftOut>,
    /// What came of training it beside its rivals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) verified: Option<Verified>,
}

#[derive(Serialize)]
pub(super) struct Layer {
    pub(super) layer: String,
    pub(super) kind: LayerKind,
    pub(super) codec: String,
    /// 0 in a block that is recomputed.
    pub(super) bytes: u64,
    pub(super) least_bytes: u64,
    /// The block that it is recomputed with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) recomputed: Option<String>,
    /// The layer before it whose copy it shares.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) shares: Option<String>,
    pub(super) error: Estimate,
    pub(super) at_floor: bool,
    #[serde(flatten)]
    pub(super) neighbours: Neighbours,
}

#[derive(Serialize)]
pub(super) struct OnFrontier {
    pub(super) bytes: u64,
    pub(super) error: f64,
    pub(super) knee: bool,
    pub(super) plan: String,
}

impl Layer {
    /// What becomes of what it saves.
    fn told(&self) -> &str {
        if self.recomputed.is_some() { "recomputed" } else { &self.codec }
    }
}

impl Answer {
    pub(super) fn print(&self, why: bool, out: &mut Output) -> anyhow::Result<()> {
        match self.plan.parse().map(|plan: PlanSpec| plan.wrapped()) {
            Ok(lines) if lines.contains('\n') => {
                writeln!(out, "{} = \"\"\"\n{lines}\"\"\"\n", self.name)?;
            }
            _ => writeln!(out, "{} = \"{}\"\n", self.name, self.plan)?,
        }
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
        let Estimate { mean, interval, n } = self.error;
        let interval = match (n, interval) {
            (0, _) => String::new(),
            (1, _) => " (from one batch)".to_owned(),
            (n, None) => format!(" (from {n} batches, too few for an interval)"),
            (n, Some(Interval { low, high })) => {
                let [low, high] = [low, high].map(|end| self.told(end));
                format!(" ({low} to {high}, 95 % interval from {n} batches)")
            }
        };
        let said = self.told(mean);
        let of = match self.objective {
            Minimised::Sum => "of the gradient's norm".to_owned(),
            Minimised::Worst => "of the gradient's norm by the worst layer".to_owned(),
            Minimised::Loss => format!("after {} updates", self.horizon.unwrap_or_default()),
        };
        writeln!(out, "{:<8}{said} {of}{interval}", self.what())?;
        if self.gap > 0.0 {
            let least = self.told((mean - self.gap).max(0.0));
            writeln!(out, "        no plan has less than {least}; the search went no further")?;
        }
        if let Some(Estimate { mean, .. }) = self.gradient_error {
            writeln!(out, "error   {} of the gradient's norm", norm(mean))?;
        }
        if let Some(slowdown) = self.slowdown {
            writeln!(
                out,
                "time    {slowdown:.3}x an exact pass, by packing, restoring and recomputing"
            )?;
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

    /// What is minimised.
    fn what(&self) -> &str {
        if self.objective == Minimised::Loss { "loss" } else { "error" }
    }

    /// How much of it.
    fn told(&self, value: f64) -> String {
        match self.objective {
            Minimised::Sum | Minimised::Worst => norm(value),
            Minimised::Loss if value > 0.0 => format!("+{}", significant(value)),
            Minimised::Loss => significant(value),
        }
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
            let (error, said) = (error.mean, self.told(error.mean));
            write!(out, "  {name:<width$}  {codec:<codecs$}  {range:>bytes$}  {said:>8}")?;
            if let Some(shares) = shares {
                write!(out, "  shared with {shares}")?;
            }
            let tell = |other: &Neighbour| {
                let sign = if other.bytes < 0 { "-" } else { "+" };
                let bytes = size(other.bytes.unsigned_abs());
                let (what, error) = (self.what(), self.told(error + other.error));
                format!("{}, {sign}{bytes}, {what} {error}", other.codec)
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
        writeln!(out, "\nFrontier:   kept  of exact {:>9}", self.what())?;
        for row in (0..count).filter(shown).map(|number| &self.frontier[number]) {
            let share = row.bytes as f64 / self.exact_bytes.max(1) as f64;
            let knee = if row.knee { "  knee" } else { "" };
            writeln!(
                out,
                "{:>16} {share:>8.3}x {:>9}{knee}",
                size(row.bytes),
                self.told(row.error)
            )?;
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
