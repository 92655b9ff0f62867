//! `packlight plan`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, ValueEnum};
use packlight::nn::footprint::{Footprint, Step};
use packlight::nn::model::Takes;
use packlight::nn::optimizer::{AdamW, Sgd};
use packlight::nn::{ModelSpec, Plan};
use packlight::record::atomic_file;
use packlight::spec::Budget;

use super::fit::{Fit, LARGEST_BATCH, Largest, largest};
use super::planned::{Planned, Setting, compare, csv, page};
use crate::machine::On;
use crate::model_options::ModelOptions;
use crate::output::Output;

/// Tell what a step of training keeps in memory, before anything is trained.
///
/// The model goes forward and back on shapes alone, without weights or data, so a network of any size
/// takes a moment and little memory. Layers and codecs say the bytes as the ledger counts them in
/// `packlight run`.
///
/// For each layer: its parameters, their gradients, the optimizer's state, and what it keeps of
/// activations, as payload and metadata, the workspace that it allocates while it runs, the
/// multiplications of its forward and its backward pass, as formulas have them, and the bytes that it reads
/// and writes. The peak is the most that a step holds at once: parameters, buffers and the optimizer's
/// state, what is still kept, the gradients of parameters so far, those of activations, as much of its input
/// as a layer restores at a time, and workspace.
///
/// With --on, it also estimates how long a step takes there: as if every operation did the multiplications
/// of its formula at the machine's rate, or moved its bytes at the memory's. Most steps take longer; fast
/// algorithms for convolutions need fewer multiplications. Packing, restoring and a codec's own gradient are not
/// timed, so a plan with codecs takes longer than its time says. Workspace is that of this machine's kernels and
/// threads, and is left out for a card.
///
/// It does not count what codecs keep from step to step, what codecs and the optimizer allocate while they
/// work, and the program itself. Where a codec's bytes depend on the data, it says between which bounds they
/// lie, and sums lack them.
#[derive(Args)]
#[command(after_help = "\
Examples:
  packlight plan --model resnet50 --stem imagenet --batch 512 --plan ara=3:4:4:2
  packlight plan --model resnet152 --stem imagenet --batch 512 --budget 24GB
  packlight plan --model resnet152 --stem imagenet --budget 24GB --fit batch --plan q2
  packlight plan --model resnet50 --stem imagenet --on rtx4090 --fit batch --plan q2
  packlight plan --model vit --patch 16 --batch 64 --budget 24GB --fit depth
  packlight plan --model resnet18 --stem imagenet --batch 64 --compare pool2 pool4 q4
  packlight plan --model vit --width 1024 --depth 24 --heads 16 --patch 16 --batch 64 --optimizer adamw
  packlight plan --model gpt --classes 50257 --length 1024 --batch 8 --plan checkpoint=block --optimizer adamw
  packlight plan --model bert --width 1024 --depth 24 --heads 16 --vocabulary 30522 --classes 2 --batch 32 --plan asa4
  packlight plan --model transformer --batch 32 --length 128 --on this --json
  packlight plan --model resnet50 --stem imagenet --batch 256 --compare q2 checkpoint=block --report plans/
  packlight plan --model mobilenet_v2 --stem imagenet --batch 64 --csv layers.csv")]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelOptions,
    /// The plan
    #[arg(long, default_value = "none")]
    plan: String,
    /// Samples of a step
    #[arg(long, required_unless_present = "fit")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=LARGEST_BATCH as i64))]
    batch: Option<u32>,
    /// Side of the images [default: 224]
    #[arg(long, value_name = "PIXELS")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=65536))]
    image: Option<u32>,
    /// Channels of the images [default: 3]
    #[arg(long)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=65536))]
    channels: Option<u32>,
    /// Classes, or different tokens of a text or of the target sequences
    #[arg(long, default_value_t = 1000)]
    #[arg(value_parser = clap::value_parser!(u32).range(2..=65536))]
    classes: u32,
    /// Tokens of each sequence [default: 128]
    #[arg(long, value_name = "TOKENS")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=65536))]
    length: Option<u32>,
    /// Different tokens of the source sequences, or of texts of one class each [default: 10000]
    #[arg(long, value_name = "TOKENS")]
    #[arg(value_parser = clap::value_parser!(u32).range(2..=65536))]
    vocabulary: Option<u32>,
    /// The optimizer, which keeps one number for each parameter (sgd) or two (adamw)
    #[arg(long, value_enum, default_value_t = OptimizerName::Sgd)]
    optimizer: OptimizerName,
    /// The bytes that there are, such as 24GB (B, KiB, MiB, GiB; KB, MB and GB count in thousands)
    #[arg(long)]
    budget: Option<Budget>,
    /// Find the largest step whose peak is within the budget
    #[arg(long, value_enum)]
    fit: Option<Fit>,
    /// Estimate the time of a step on `this` machine or a card (a100-40, a100-80, h100, h200, rtx4090,
    /// rtx3090, l4, t4, v100), whose memory is the budget if none is given
    #[arg(long, value_name = "NAME")]
    on: Option<On>,
    /// Other plans to lay beside this one
    #[arg(long, value_name = "PLAN", num_args = 1.., conflicts_with = "fit")]
    compare: Vec<String>,
    /// Also write the layers to this file, as CSV
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Also write a page with the layers and the course of a step to DIR/index.html
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum OptimizerName {
    Sgd,
    Adamw,
}

impl Arguments {
    pub(crate) fn run(self, out: &mut Output) -> anyhow::Result<ExitCode> {
        let plan = Plan::parse(&self.plan)?;
        let budget = self.budget.as_ref().map(|budget| {
            budget.in_bytes().context("--budget: a number of bytes expected, such as 24GB")
        });
        let machine = self.on.as_ref().map(On::machine).transpose()?;
        let memory = machine.as_ref().and_then(|machine| machine.memory_bytes);
        let budget = budget.transpose()?.or(memory);
        let (spec, batch) = match (self.fit, budget) {
            (Some(Fit::Batch), _) if self.batch.is_some() => {
                anyhow::bail!("--batch and --fit batch: leave one of them out")
            }
            (Some(fit), Some(budget)) => {
                let Largest { spec, batch, .. } = largest(&self, &plan, fit, budget)?;
                (spec, batch)
            }
            (Some(_), None) => anyhow::bail!("--fit: --budget or --on expected"),
            (None, _) => (self.spec()?, self.given_batch()?),
        };
        let planned = |plan: &Plan| -> anyhow::Result<Planned> {
            let footprint = self.footprint(&spec, plan, batch)?;
            let optimizer = match self.optimizer {
                OptimizerName::Sgd => "sgd",
                OptimizerName::Adamw => "adamw",
            };
            let (model, machine) = (self.describe(&spec), machine.as_ref());
            let setting = Setting { model, plan, batch, optimizer, machine, budget };
            Ok(Planned::of(footprint, setting))
        };
        let others = self.compare.iter().filter(|other| **other != plan.to_string());
        let others = others.map(|plan| planned(&Plan::parse(plan)?));
        let plans: Vec<Planned> =
            [planned(&plan)].into_iter().chain(others).collect::<anyhow::Result<_>>()?;
        if let Some(file) = &self.csv {
            atomic_file::write(file, &csv(&plans)?)?;
        }
        if let Some(folder) = &self.report {
            page(folder, &plans)?;
        }
        match (&plans[..], self.json) {
            ([alone], true) => out.json(alone)?,
            ([alone], false) => alone.print(out)?,
            (_, true) => out.json(&plans)?,
            (_, false) => compare(&plans, out)?,
        }
        if let (Some(folder), false) = (&self.report, self.json) {
            writeln!(out, "\n{}", folder.join("index.html").display())?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The samples of a step.
    ///
    /// # Errors
    /// Returns an error if they are not given.
    pub(crate) fn given_batch(&self) -> anyhow::Result<usize> {
        let batch = self.batch.context("--batch: the number of samples of a step expected")?;
        Ok(batch as usize)
    }

    /// The model for data of the given sizes.
    ///
    /// # Errors
    /// Returns an error if a size is given that its data do not have, or the model refuses one.
    pub(crate) fn spec(&self) -> anyhow::Result<ModelSpec> {
        let spec = self.model.spec();
        let takes = spec.takes();
        let images = matches!(takes, Takes::Images | Takes::SquareImages { .. });
        for (option, given, applies) in [
            ("--image", self.image, images),
            ("--channels", self.channels, images),
            ("--length", self.length, !images),
            ("--vocabulary", self.vocabulary, !images && takes != Takes::Text),
        ] {
            if let (Some(size), false) = (given, applies) {
                let (name, takes) = (spec.name(), takes.in_words());
                anyhow::bail!(
                    "{option} {size}: {name} takes {takes}, for which it says nothing; leave it out"
                );
            }
        }
        self.for_data(spec)
    }

    /// A model for data of the given sizes.
    ///
    /// # Errors
    /// Returns an error if the model refuses one of them.
    pub(crate) fn for_data(&self, spec: &ModelSpec) -> anyhow::Result<ModelSpec> {
        let classes = self.classes as usize;
        let vocabulary = self.vocabulary.map_or(10000, |tokens| tokens as usize);
        Ok(match spec.takes() {
            Takes::Pairs { .. } => spec.for_sequences(vocabulary, classes)?,
            Takes::Text => spec.for_text(classes)?,
            Takes::LabelledText { .. } => spec.for_labelled_text(vocabulary, classes)?,
            Takes::Images | Takes::SquareImages { .. } => {
                spec.for_images(self.channels(), self.image(), classes)?
            }
        })
    }

    fn channels(&self) -> usize {
        self.channels.map_or(3, |channels| channels as usize)
    }

    fn image(&self) -> usize {
        self.image.map_or(224, |side| side as usize)
    }

    fn length(&self) -> usize {
        self.length.map_or(128, |tokens| tokens as usize)
    }

    /// The model and its inputs, in words.
    fn describe(&self, spec: &ModelSpec) -> String {
        let inputs = match spec.takes() {
            Takes::Pairs { .. } => format!("pairs of {} tokens", self.length()),
            Takes::Text | Takes::LabelledText { .. } => format!("{} tokens", self.length()),
            Takes::Images | Takes::SquareImages { .. } => {
                format!("images of {} x {1} x {1}", self.channels(), self.image())
            }
        };
        format!("{}; {inputs}, {} classes", spec.complete().in_words(), self.classes)
    }

    /// What a step of `spec` keeps with this plan.
    ///
    /// # Errors
    /// Returns an error if the plan or the sizes do not fit the model.
    pub(crate) fn footprint(
        &self,
        spec: &ModelSpec,
        plan: &Plan,
        batch: usize,
    ) -> anyhow::Result<Footprint> {
        let optimizer_state = match self.optimizer {
            OptimizerName::Sgd => Sgd::STATE,
            OptimizerName::Adamw => AdamW::STATE,
        };
        let step = Step { length: self.length(), optimizer_state, ..Step::of_batch(batch) };
        let footprint =
            Footprint::of(spec, plan, &step).with_context(|| format!("plan `{plan}`"))?;
        Ok(match self.on {
            Some(On::Card(_)) => footprint.without_workspace(),
            _ => footprint,
        })
    }
}
