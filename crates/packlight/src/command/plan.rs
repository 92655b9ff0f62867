//! `packlight plan`.

use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, ValueEnum};
use packlight::autograd::{Entry, StepPeak};
use packlight::nn::footprint::{Footprint, LayerFootprint, Step};
use packlight::nn::model::Takes;
use packlight::nn::optimizer::{AdamW, Sgd};
use packlight::nn::{ModelSpec, Plan};
use packlight::spec::LayerKind;
use serde::Serialize;

use crate::budget::Budget;
use crate::model_options::ModelOptions;
use crate::output::Output;

/// Tell what a step of training keeps in memory, before anything is trained.
///
/// The model goes forward and back on shapes alone, without weights or data, so a network of any size
/// takes a moment and little memory. Layers and codecs say the bytes as the ledger counts them in
/// `packlight run`.
///
/// For each layer: its parameters, their gradients, the optimizer's state, and what it keeps of
/// activations, as payload and metadata. The peak is the most that a step holds at once: parameters,
/// buffers and the optimizer's state, and in the backward pass what is still kept, the gradients of
/// parameters so far, and those of one layer's output and input.
///
/// It does not count what codecs keep from step to step, other tensors of the moment (activations and
/// gradients that wait for a shortcut, inputs that are restored), what kernels and the optimizer allocate
/// while they work, and the program itself. Where a codec's bytes depend on the data, it says so, and
/// sums lack them.
#[derive(Args)]
#[command(after_help = "\
Examples:
  packlight plan --model resnet50 --stem imagenet --batch 512 --plan ara=3:4:4:2
  packlight plan --model resnet152 --stem imagenet --batch 512 --budget 24GB
  packlight plan --model resnet152 --stem imagenet --budget 24GB --fit batch --plan q2
  packlight plan --model resnet18 --stem imagenet --batch 64 --compare pool2 pool4 q4
  packlight plan --model vit --width 1024 --depth 24 --heads 16 --patch 16 --batch 64 --optimizer adamw
  packlight plan --model gpt --classes 50257 --length 1024 --batch 8 --plan checkpoint=block --optimizer adamw
  packlight plan --model transformer --batch 32 --length 128 --json")]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelOptions,
    /// The plan
    #[arg(long, default_value = "none")]
    plan: String,
    /// Samples of a step
    #[arg(long, required_unless_present = "fit", conflicts_with = "fit")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=LARGEST_BATCH as i64))]
    batch: Option<u32>,
    /// Side of the images
    #[arg(long, default_value_t = 224, value_name = "PIXELS")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=65536))]
    image: u32,
    /// Channels of the images
    #[arg(long, default_value_t = 3)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=65536))]
    channels: u32,
    /// Classes, or different tokens of a text or of the target sequences
    #[arg(long, default_value_t = 1000)]
    #[arg(value_parser = clap::value_parser!(u32).range(2..=65536))]
    classes: u32,
    /// Tokens of each sequence
    #[arg(long, default_value_t = 128, value_name = "TOKENS")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=65536))]
    length: u32,
    /// Different tokens of the source sequences
    #[arg(long, default_value_t = 10000, value_name = "TOKENS")]
    #[arg(value_parser = clap::value_parser!(u32).range(2..=65536))]
    vocabulary: u32,
    /// The optimizer, which keeps one number for each parameter (sgd) or two (adamw)
    #[arg(long, value_enum, default_value_t = OptimizerName::Sgd)]
    optimizer: OptimizerName,
    /// The bytes that there are, such as 24GB (B, KiB, MiB, GiB; KB, MB and GB count in thousands)
    #[arg(long)]
    budget: Option<Budget>,
    /// Find the largest step whose peak is within the budget
    #[arg(long, value_enum, requires = "budget")]
    fit: Option<Fit>,
    /// Other plans to lay beside this one
    #[arg(long, value_name = "PLAN", num_args = 1.., conflicts_with = "fit")]
    compare: Vec<String>,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// No step of more samples is looked for.
const LARGEST_BATCH: u32 = 1 << 20;

#[derive(Clone, Copy, ValueEnum)]
enum OptimizerName {
    Sgd,
    Adamw,
}

#[derive(Clone, Copy, ValueEnum)]
enum Fit {
    /// The most samples
    Batch,
}

#[derive(Serialize)]
struct Planned {
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
    /// Whether no codec's bytes depend on the data, so that sums are exact.
    kept_is_exact: bool,
    /// The uncompressed bytes of what depends on the data.
    depends_on_data_uncompressed: usize,
    kept_peak_bytes: usize,
    peak_bytes: usize,
    peak: Peak,
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
    uncompressed: usize,
}

impl Arguments {
    pub(crate) fn run(self, out: &mut Output) -> anyhow::Result<ExitCode> {
        let spec = self.spec()?;
        let plan = Plan::parse(&self.plan)?;
        let budget = self.budget.as_ref().map(|budget| {
            budget.in_bytes().context("--budget: a number of bytes expected, such as 24GB")
        });
        let budget = budget.transpose()?;
        let batch = match (self.batch, budget) {
            (Some(batch), _) => batch as usize,
            (None, Some(budget)) => self.largest_batch(&spec, &plan, budget)?,
            (None, None) => anyhow::bail!("--batch: the number of samples of a step expected"),
        };
        let planned = |plan: &Plan| -> anyhow::Result<Planned> {
            let footprint = self.footprint(&spec, plan, batch)?;
            Ok(Planned::of(&footprint, self.describe(&spec), plan, batch, self.optimizer, budget))
        };
        let first = planned(&plan)?;
        if self.compare.is_empty() {
            match self.json {
                true => out.json(&first)?,
                false => first.print(out)?,
            }
            return Ok(ExitCode::SUCCESS);
        }
        let others = self.compare.iter().map(|plan| planned(&Plan::parse(plan)?));
        let plans: Vec<Planned> =
            [Ok(first)].into_iter().chain(others).collect::<anyhow::Result<_>>()?;
        match self.json {
            true => out.json(&plans)?,
            false => compare(&plans, out)?,
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The model for data of the given sizes.
    fn spec(&self) -> anyhow::Result<ModelSpec> {
        let spec = self.model.spec();
        let size = |number: u32| number as usize;
        Ok(match spec.takes() {
            Takes::Pairs { .. } => spec.for_sequences(size(self.vocabulary), size(self.classes))?,
            Takes::Text => spec.for_text(size(self.classes))?,
            Takes::Images | Takes::SquareImages { .. } => {
                spec.for_images(size(self.channels), size(self.image), size(self.classes))?
            }
        })
    }

    /// The model and its inputs, in words.
    fn describe(&self, spec: &ModelSpec) -> String {
        let inputs = match spec.takes() {
            Takes::Pairs { .. } => format!("pairs of {} tokens", self.length),
            Takes::Text => format!("{} tokens", self.length),
            Takes::Images | Takes::SquareImages { .. } => {
                format!("images of {} x {} x {}", self.channels, self.image, self.image)
            }
        };
        format!("{}; {inputs}, {} classes", spec.complete().in_words(), self.classes)
    }

    fn footprint(&self, spec: &ModelSpec, plan: &Plan, batch: usize) -> anyhow::Result<Footprint> {
        let optimizer_state = match self.optimizer {
            OptimizerName::Sgd => Sgd::STATE,
            OptimizerName::Adamw => AdamW::STATE,
        };
        let length = self.length as usize;
        let step = Step { length, optimizer_state, ..Step::of_batch(batch) };
        Footprint::of(spec, plan, &step).with_context(|| format!("plan `{plan}`"))
    }

    /// The largest batch whose peak is within `budget`.
    fn largest_batch(&self, spec: &ModelSpec, plan: &Plan, budget: u64) -> anyhow::Result<usize> {
        let peak = |batch| Ok(self.footprint(spec, plan, batch)?.peak_bytes() as u64);
        // A batch norm may refuse a single sample.
        let smallest = if peak(1).is_ok() { 1 } else { 2 };
        let least: anyhow::Result<u64> = peak(smallest);
        let least = least?;
        anyhow::ensure!(
            least <= budget,
            "--budget: a batch of {smallest} already takes {}, {} are given",
            amount(least as usize),
            amount(budget as usize)
        );
        let (mut fits, mut beyond) = (smallest, LARGEST_BATCH as usize + 1);
        while fits + 1 < beyond {
            let middle = (2 * fits).min(fits + (beyond - fits) / 2);
            let within: anyhow::Result<u64> = peak(middle);
            match within? <= budget {
                true => fits = middle,
                false => beyond = middle,
            }
        }
        Ok(fits)
    }
}

impl Planned {
    fn of(
        footprint: &Footprint,
        model: String,
        plan: &Plan,
        batch: usize,
        optimizer: OptimizerName,
        budget: Option<u64>,
    ) -> Self {
        let layers: Vec<Row> = footprint.layers.iter().map(Row::of).collect();
        let kinds = LayerKind::ALL.iter().filter_map(|kind| Row::of_kind(kind.name(), &layers));
        let sum = |of: fn(&Row) -> usize| layers.iter().map(of).sum();
        let depends = layers.iter().filter(|row| row.depends_on_data);
        let StepPeak { kept, parameter_gradients, flowing_gradients, layer } =
            footprint.peak.clone();
        let peak_bytes = footprint.peak_bytes();
        Self {
            model,
            plan: plan.to_string(),
            batch,
            optimizer: match optimizer {
                OptimizerName::Sgd => "sgd".to_owned(),
                OptimizerName::Adamw => "adamw".to_owned(),
            },
            parameters: sum(|row| row.parameters),
            parameter_bytes: sum(|row| row.parameter_bytes),
            gradient_bytes: sum(|row| row.gradient_bytes),
            optimizer_bytes: sum(|row| row.optimizer_bytes),
            buffer_bytes: footprint.buffers,
            kept_bytes: footprint.kept().total(),
            kept_payload: footprint.kept().payload,
            kept_metadata: footprint.kept().metadata,
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
            budget: budget.map(|bytes| Fits { bytes, fits: peak_bytes as u64 <= bytes }),
            kinds: kinds.collect(),
            layers,
        }
    }

    fn print(&self, out: &mut Output) -> anyhow::Result<()> {
        writeln!(out, "{}", self.model)?;
        writeln!(out, "plan {}, batch {}, {}, f32", self.plan, self.batch, self.optimizer)?;
        writeln!(out)?;
        let width = self.layers.iter().filter_map(|row| Some(row.layer.as_ref()?.len())).max();
        let codec = self.layers.iter().filter_map(|row| Some(row.codec.as_ref()?.len())).max();
        let (width, codec) = (width.unwrap_or(0).max(5), codec.unwrap_or(0).max(5));
        let heads = ["parameters", "gradients", "optimizer", "payload", "metadata"];
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
             parameters' gradients, {} of the layer's",
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
                "\nWhat layers marked with ? keep depends on the data (uncompressed {uncompressed}), and counts \
                 for nothing above."
            )?;
        }
        writeln!(
            out,
            "\nNot counted: what codecs keep from step to step, other tensors of the moment, what kernels and \
             the\noptimizer allocate while they work, the data set, the program."
        )
    }
}

/// Lays plans side by side; the first is what the others are compared with.
fn compare(plans: &[Planned], out: &mut Output) -> anyhow::Result<()> {
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
            uncompressed: raw(&layer.saved),
        }
    }

    /// All layers of a kind; `None` if there are none.
    fn of_kind(kind: &'static str, layers: &[Row]) -> Option<Self> {
        let own: Vec<&Row> = layers.iter().filter(|row| row.kind == kind).collect();
        let sum = |of: fn(&Row) -> usize| own.iter().map(|row| of(row)).sum();
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
            uncompressed: sum(|row| row.uncompressed),
        })
    }

    /// The columns of bytes.
    fn in_words(&self) -> String {
        let columns = [self.parameter_bytes, self.gradient_bytes, self.optimizer_bytes];
        let columns = columns.into_iter().chain([self.kept_payload, self.kept_metadata]);
        let mut words: String = columns.map(|bytes| format!("{:>12}", amount(bytes))).collect();
        if self.depends_on_data {
            words += "  ?";
        }
        if self.kept_again > 0 {
            words += &format!("  {} in the backward pass", amount(self.kept_again));
        }
        words + if self.frozen == Some(true) { "  frozen" } else { "" }
    }
}

/// Bytes in the largest decimal unit of which there is at least one.
fn amount(bytes: usize) -> String {
    match bytes {
        0 => "0".to_owned(),
        1..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} KB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.3} GB", bytes as f64 / 1e9),
    }
}
