//! `packlight plan`.

use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, ValueEnum};
use packlight::nn::footprint::{Footprint, Step};
use packlight::nn::model::Takes;
use packlight::nn::optimizer::{AdamW, Sgd};
use packlight::nn::{ModelSpec, Plan};

use super::planned::{Planned, amount, compare};
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
  packlight plan --model bert --width 1024 --depth 24 --heads 16 --vocabulary 30522 --classes 2 --batch 32 --plan asa4
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
    /// Different tokens of the source sequences, or of texts of one class each
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
            let optimizer = match self.optimizer {
                OptimizerName::Sgd => "sgd",
                OptimizerName::Adamw => "adamw",
            };
            Ok(Planned::of(&footprint, self.describe(&spec), plan, batch, optimizer, budget))
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
            Takes::LabelledText { .. } => {
                spec.for_labelled_text(size(self.vocabulary), size(self.classes))?
            }
            Takes::Images | Takes::SquareImages { .. } => {
                spec.for_images(size(self.channels), size(self.image), size(self.classes))?
            }
        })
    }

    /// The model and its inputs, in words.
    fn describe(&self, spec: &ModelSpec) -> String {
        let inputs = match spec.takes() {
            Takes::Pairs { .. } => format!("pairs of {} tokens", self.length),
            Takes::Text | Takes::LabelledText { .. } => format!("{} tokens", self.length),
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
