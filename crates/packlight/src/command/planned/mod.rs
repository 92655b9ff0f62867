//! What `packlight plan` prints: the bytes of one plan, layer by layer, or of several side by side.

use packlight::autograd::{Entry, StepPeak};
use packlight::nn::Plan;
use packlight::nn::footprint::{Footprint, LayerFootprint};
use packlight::spec::LayerKind;
use serde::Serialize;

use crate::output::Output;

/// What a step keeps with one plan. Bytes, if nothing else is said.
#[derive(Serialize)]
pub(super) struct Planned {
    model: String,
    plan: String,
    batch: usize,
    optimizer: String,
    parameters: usize,
    parameter_bytes: usize,
    gradient_bytes: usize,
    optimizer_bytes: usize,
    buffer_bytes: usize,
    kept_bytes: usize,
    kept_payload: usize,
    kept_metadata: usize,
    /// What is kept is within these; both are `kept_bytes` where nothing depends on the data.
    kept_at_least: usize,
    kept_at_most: usize,
    /// Whether no codec's bytes depend on the data, so that sums are exact.
    kept_is_exact: bool,
    /// The uncompressed bytes of what depends on the data.
    depends_on_data_uncompressed: usize,
    kept_peak_bytes: usize,
    peak_bytes: usize,
    peak: Peak,
    /// Multiplications of convolutions, linear layers and products of activations, as their formulas have
    /// them, and the bytes that these read and write, once each.
    forward_multiplications: u64,
    backward_multiplications: u64,
    moved_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    budget: Option<Fits>,
    kinds: Vec<Row>,
    layers: Vec<Row>,
}

/// What `peak_bytes` consists of.
#[derive(Serialize)]
struct Peak {
    resident: usize,
    kept: usize,
    parameter_gradients: usize,
    flowing_gradients: usize,
    /// The layer whose backward pass it is, or the next one that has saved anything.
    layer: Option<String>,
}

#[derive(Serialize)]
struct Fits {
    bytes: u64,
    fits: bool,
}

/// A layer, or all layers of a kind.
#[derive(Serialize)]
struct Row {
    #[serde(skip_serializing_if = "Option::is_none")]
    layer: Option<String>,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    codec: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frozen: Option<bool>,
    parameters: usize,
    parameter_bytes: usize,
    gradient_bytes: usize,
    optimizer_bytes: usize,
    kept_payload: usize,
    kept_metadata: usize,
    /// What is saved in the backward pass, where it is recomputed.
    kept_again: usize,
    depends_on_data: bool,
    kept_at_least: usize,
    kept_at_most: usize,
    uncompressed: usize,
    forward_multiplications: u64,
    backward_multiplications: u64,
    moved_bytes: u64,
}

impl Planned {
    pub(super) fn of(
        footprint: &Footprint,
        model: String,
        plan: &Plan,
        batch: usize,
        optimizer: &str,
        budget: Option<u64>,
    ) -> Self {
        let layers: Vec<Row> = footprint.layers.iter().map(Row::of).collect();
        let kinds = LayerKind::ALL.iter().filter_map(|kind| Row::of_kind(kind.name(), &layers));
        let sum = |of: fn(&Row) -> usize| layers.iter().map(of).sum();
        let count = |of: fn(&Row) -> u64| layers.iter().map(of).sum();
        let depends = layers.iter().filter(|row| row.depends_on_data);
        let StepPeak { kept, parameter_gradients, flowing_gradients, layer, .. } =
            footprint.peak.clone();
        let peak_bytes = footprint.peak_bytes();
        Self {
            model,
            plan: plan.to_string(),
            batch,
            optimizer: optimizer.to_owned(),
            parameters: sum(|row| row.parameters),
            parameter_bytes: sum(|row| row.parameter_bytes),
            gradient_bytes: sum(|row| row.gradient_bytes),
            optimizer_bytes: sum(|row| row.optimizer_bytes),
            buffer_bytes: footprint.buffers,
            kept_bytes: footprint.kept().total(),
            kept_payload: footprint.kept().payload,
            kept_metadata: footprint.kept().metadata,
            kept_at_least: footprint.kept_within()[0],
            kept_at_most: footprint.kept_within()[1],
            kept_is_exact: footprint.is_exact(),
            depends_on_data_uncompressed: depends.map(|row| row.uncompressed).sum(),
            kept_peak_bytes: footprint.kept_peak,
            peak_bytes,
            peak: Peak {
                resident: footprint.resident(),
                kept,
                parameter_gradients,
                flowing_gradients,
                layer: layer.map(|layer| layer.to_string()),
            },
            forward_multiplications: count(|row| row.forward_multiplications),
            backward_multiplications: count(|row| row.backward_multiplications),
            moved_bytes: count(|row| row.moved_bytes),
            budget: budget.map(|bytes| Fits { bytes, fits: peak_bytes as u64 <= bytes }),
            kinds: kinds.collect(),
            layers,
        }
    }

    pub(super) fn print(&self, out: &mut Output) -> anyhow::Result<()> {
        writeln!(out, "{}", self.model)?;
        writeln!(out, "plan {}, batch {}, {}, f32", self.plan, self.batch, self.optimizer)?;
        writeln!(out)?;
        let width = self.layers.iter().filter_map(|row| Some(row.layer.as_ref()?.len())).max();
        let codec = self.layers.iter().filter_map(|row| Some(row.codec.as_ref()?.len())).max();
        let (width, codec) = (width.unwrap_or(0).max(5), codec.unwrap_or(0).max(5));
        let heads =
            ["parameters", "gradients", "optimizer", "payload", "metadata", "forward", "backward"];
        let heads: Vec<String> = heads.iter().map(|head| format!("{head:>12}")).collect();
        writeln!(out, "{:width$}  {:10}  {:codec$}{}", "layer", "kind", "codec", heads.concat())?;
        for row in &self.layers {
            let name = row.layer.as_deref().unwrap_or_default();
            let own = row.codec.as_deref().unwrap_or_default();
            writeln!(out, "{name:width$}  {:10}  {own:codec$}{}", row.kind, row.in_words())?;
        }
        writeln!(out)?;
        for row in &self.kinds {
            writeln!(out, "{:width$}  {:10}  {:codec$}{}", "all", row.kind, "", row.in_words())?;
        }
        writeln!(out)?;
        writeln!(
            out,
            "multiplications  {} forward, {} backward, which read and write {}",
            times(self.forward_multiplications),
            times(self.backward_multiplications),
            amount(self.moved_bytes as usize)
        )?;
        let more = if self.kept_is_exact { "" } else { "at least " };
        writeln!(
            out,
            "parameters       {} ({} numbers)",
            amount(self.parameter_bytes),
            self.parameters
        )?;
        writeln!(out, "buffers          {}", amount(self.buffer_bytes))?;
        writeln!(out, "gradients        {}", amount(self.gradient_bytes))?;
        writeln!(out, "optimizer state  {}", amount(self.optimizer_bytes))?;
        writeln!(
            out,
            "kept             {more}{} (payload {}, metadata {})",
            amount(self.kept_bytes),
            amount(self.kept_payload),
            amount(self.kept_metadata)
        )?;
        if self.kept_peak_bytes > self.kept_bytes {
            let peak = amount(self.kept_peak_bytes);
            writeln!(out, "kept at most     {more}{peak}, in the backward pass, which recomputes")?;
        }
        let peak = &self.peak;
        let at = peak.layer.as_ref().map(|layer| format!(", in the backward pass at {layer}"));
        writeln!(
            out,
            "peak             at least {}{}: {} of parameters, buffers and optimizer state, {} kept, {} of \
             parameters' gradients, {} of activations'",
            amount(self.peak_bytes),
            at.unwrap_or_default(),
            amount(peak.resident),
            amount(peak.kept),
            amount(peak.parameter_gradients),
            amount(peak.flowing_gradients)
        )?;
        if let Some(Fits { bytes, fits }) = self.budget {
            let (bytes, difference) = (bytes as usize, (bytes as usize).abs_diff(self.peak_bytes));
            let verdict = match fits {
                true => format!("fits, {} are left for what is not counted", amount(difference)),
                false => format!("does not fit, {} are missing", amount(difference)),
            };
            writeln!(out, "budget           {}: {verdict}", amount(bytes))?;
        }
        if !self.kept_is_exact {
            let uncompressed = amount(self.depends_on_data_uncompressed);
            writeln!(
                out,
                "\nWhat layers with a range keep depends on the data (uncompressed {uncompressed}), and counts for \
                 nothing above. With it, {} to {} are kept.",
                amount(self.kept_at_least),
                amount(self.kept_at_most)
            )?;
        }
        writeln!(
            out,
            "\nNot counted: what codecs keep from step to step, what kernels and the optimizer allocate while \
             they\nwork, the data set, the program."
        )
    }
}

/// Lays plans side by side; the first is what the others are compared with.
pub(super) fn compare(plans: &[Planned], out: &mut Output) -> anyhow::Result<()> {
    let Some(first) = plans.first() else { return Ok(()) };
    writeln!(out, "{}", first.model)?;
    writeln!(out, "batch {}, {}, f32", first.batch, first.optimizer)?;
    writeln!(out)?;
    let width = plans.iter().map(|plan| plan.plan.len()).max().unwrap_or(0).max(4);
    writeln!(out, "{:width$}{:>14}{:>9}{:>16}{:>9}", "plan", "kept", "share", "peak", "share")?;
    for plan in plans {
        let share =
            |own: usize, of: usize| format!("{:.1} %", 100.0 * own as f64 / of.max(1) as f64);
        let budget = plan.budget.as_ref().map(|budget| match budget.fits {
            true => "  fits",
            false => "  does not fit",
        });
        writeln!(
            out,
            "{:width$}{:>14}{:>9}{:>16}{:>9}{}{}",
            plan.plan,
            amount(plan.kept_bytes),
            share(plan.kept_bytes, first.kept_bytes),
            amount(plan.peak_bytes),
            share(plan.peak_bytes, first.peak_bytes),
            if plan.kept_is_exact { "" } else { "  and what depends on the data" },
            budget.unwrap_or_default()
        )?;
    }
    Ok(())
}

impl Row {
    fn of(layer: &LayerFootprint) -> Self {
        let all = || layer.saved.iter().chain(&layer.saved_again);
        let raw = |entries: &[Entry]| entries.iter().map(|entry| entry.raw).sum();
        Self {
            layer: Some(layer.layer.name().to_owned()),
            kind: layer.layer.kind().name(),
            codec: Some(layer.layer.codec().spec()),
            frozen: Some(layer.parameters > 0 && layer.layer.is_frozen()),
            parameters: layer.parameters,
            parameter_bytes: layer.parameter_bytes,
            gradient_bytes: layer.gradient_bytes,
            optimizer_bytes: layer.optimizer_bytes,
            kept_payload: layer.kept().payload,
            kept_metadata: layer.kept().metadata,
            kept_again: layer.saved_again.iter().map(|entry| entry.bytes.total()).sum(),
            depends_on_data: all().any(|entry| !entry.known),
            kept_at_least: layer.kept_within()[0],
            kept_at_most: layer.kept_within()[1],
            uncompressed: raw(&layer.saved),
            forward_multiplications: layer.multiplications().0,
            backward_multiplications: layer.multiplications().1,
            moved_bytes: layer.moved(),
        }
    }

    /// All layers of a kind; `None` if there are none.
    fn of_kind(kind: &'static str, layers: &[Row]) -> Option<Self> {
        let own: Vec<&Row> = layers.iter().filter(|row| row.kind == kind).collect();
        let sum = |of: fn(&Row) -> usize| own.iter().map(|row| of(row)).sum();
        let count = |of: fn(&Row) -> u64| own.iter().map(|row| of(row)).sum();
        (!own.is_empty()).then(|| Self {
            layer: None,
            kind,
            codec: None,
            frozen: None,
            parameters: sum(|row| row.parameters),
            parameter_bytes: sum(|row| row.parameter_bytes),
            gradient_bytes: sum(|row| row.gradient_bytes),
            optimizer_bytes: sum(|row| row.optimizer_bytes),
            kept_payload: sum(|row| row.kept_payload),
            kept_metadata: sum(|row| row.kept_metadata),
            kept_again: sum(|row| row.kept_again),
            depends_on_data: own.iter().any(|row| row.depends_on_data),
            kept_at_least: sum(|row| row.kept_at_least),
            kept_at_most: sum(|row| row.kept_at_most),
            uncompressed: sum(|row| row.uncompressed),
            forward_multiplications: count(|row| row.forward_multiplications),
            backward_multiplications: count(|row| row.backward_multiplications),
            moved_bytes: count(|row| row.moved_bytes),
        })
    }

    /// The columns of bytes and of multiplications.
    fn in_words(&self) -> String {
        let columns = [self.parameter_bytes, self.gradient_bytes, self.optimizer_bytes];
        let columns = columns.into_iter().chain([self.kept_payload, self.kept_metadata]);
        let mut words: String = columns.map(|bytes| format!("{:>12}", amount(bytes))).collect();
        for multiplications in [self.forward_multiplications, self.backward_multiplications] {
            words += &format!("{:>12}", times(multiplications));
        }
        if self.depends_on_data {
            let (least, most) = (amount(self.kept_at_least), amount(self.kept_at_most));
            words += &format!("  {least} to {most}");
        }
        if self.kept_again > 0 {
            words += &format!("  {} in the backward pass", amount(self.kept_again));
        }
        words + if self.frozen == Some(true) { "  frozen" } else { "" }
    }
}

/// The columns of [`csv`]: the plan, and the fields of a [`Row`].
const COLUMNS: [&str; 19] = [
    "plan",
    "layer",
    "kind",
    "codec",
    "frozen",
    "parameters",
    "parameter_bytes",
    "gradient_bytes",
    "optimizer_bytes",
    "kept_payload",
    "kept_metadata",
    "kept_again",
    "depends_on_data",
    "kept_at_least",
    "kept_at_most",
    "uncompressed",
    "forward_multiplications",
    "backward_multiplications",
    "moved_bytes",
];

/// The layers of each plan as CSV, with a line for the names of the columns.
pub(super) fn csv(plans: &[Planned]) -> anyhow::Result<Vec<u8>> {
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    writer.write_record(COLUMNS)?;
    for plan in plans {
        for row in &plan.layers {
            writer.serialize((&plan.plan, row))?;
        }
    }
    Ok(writer.into_inner()?)
}

/// A number of multiplications in the largest decimal unit of which there is at least one.
fn times(multiplications: u64) -> String {
    match multiplications {
        0 => "0".to_owned(),
        1..1_000_000 => format!("{:.1} K", multiplications as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} M", multiplications as f64 / 1e6),
        1_000_000_000..1_000_000_000_000 => format!("{:.1} G", multiplications as f64 / 1e9),
        _ => format!("{:.3} T", multiplications as f64 / 1e12),
    }
}

/// Bytes in the largest decimal unit of which there is at least one.
pub(super) fn amount(bytes: usize) -> String {
    match bytes {
        0 => "0".to_owned(),
        1..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} KB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.3} GB", bytes as f64 / 1e9),
    }
}
