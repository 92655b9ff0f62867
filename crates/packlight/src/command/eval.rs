//! `packlight eval`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::anyhow;
use candle_core::{DType, Device};
use clap::{Args, ValueEnum};
use packlight::nn::{Model, Plan};
use packlight::study::data::{DataSpec, Error, Normalise, SetName, choose, data_dir, load};
use packlight::study::evaluate;
use serde::Serialize;

use crate::model_options::ModelOptions;
use crate::output::Output;

/// Count how many test images (or tokens) a model with given weights gets right.
#[derive(Args)]
#[command(after_help = "\
Examples:
  packlight eval --model resnet20 --weights resnet20.safetensors --data cifar-10 --json
  packlight eval --model resnet18 --width 8 --data digits --normalise data \\
      --weights reports/quickstart/runs/pool2-seed0/weights.safetensors")]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelOptions,
    /// The weights, as safetensors with PyTorch's names
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// The data set: digits, mnist, fashion-mnist, cifar-10, cifar-100, folder:PATH, reverse or
    /// multi30k; or the first of several that exists, as in "fashion-mnist or digits"
    #[arg(long, value_name = "SET")]
    data: SetName,
    /// The folder with the data sets that are not built in [default: $PACKLIGHT_DATA]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Height and width to resize images to [default: as in a study]
    #[arg(long, value_name = "PIXELS")]
    size: Option<usize>,
    /// The plan that the weights were trained with, for methods that change what a layer computes
    #[arg(long, default_value = "none")]
    plan: String,
    /// How images were normalised when the weights were trained
    #[arg(long, value_enum, default_value_t = Normalisation::Imagenet)]
    normalise: Normalisation,
    /// Number of samples to evaluate at a time
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Normalisation {
    /// By ImageNet's mean and deviation, like most weights published for PyTorch
    Imagenet,
    /// By the data set's own, like weights that packlight trained
    Data,
}

#[derive(Serialize)]
struct Found {
    correct: u64,
    total: u64,
    accuracy: f64,
    loss: f64,
}

impl Arguments {
    pub(crate) fn run(self, out: &mut Output) -> anyhow::Result<ExitCode> {
        let data_dir = data_dir(self.data_dir);
        let name = choose(&self.data, data_dir.as_deref())?;
        let normalise = match self.normalise {
            Normalisation::Imagenet if name.is_of_sequences() => None,
            Normalisation::Imagenet => {
                Some(Normalise { mean: vec![0.485, 0.456, 0.406], std: vec![0.229, 0.224, 0.225] })
            }
            Normalisation::Data => None,
        };
        let plan = Plan::parse(&self.plan)?;
        let spec = DataSpec { normalise, size: self.size, ..DataSpec::new(name) };
        let data = load(&spec, data_dir.as_deref()).map_err(|e| with_remedy(e, &spec.name))?;
        let spec = data.model(self.model.spec())?;
        let model = Model::planned(&spec, &plan, 0, DType::F32, &Device::Cpu)?;
        model.parameters().load(&self.weights)?;
        let found = evaluate(&model, &data.test, self.batch as usize, &Device::Cpu)?;
        let (correct, total, accuracy, loss) =
            (found.correct, found.total, found.accuracy(), found.loss);
        if self.json {
            out.json(&Found { correct, total, accuracy, loss })?;
        } else {
            let percent = 100.0 * accuracy;
            writeln!(out, "{correct} of {total} correct ({percent:.2} %), loss {loss:.4}")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Adds what to do about it to the error that ImageNet's three means do not fit grey images.
fn with_remedy(error: Error, set: &SetName) -> anyhow::Error {
    match error {
        Error::Setting(fault) if fault.key.starts_with("normalise.") => anyhow!(
            "ImageNet's normalisation is for colours, and {set} is grey: \
             give `--normalise data`, which is how packlight normalises it when it trains"
        ),
        other => other.into(),
    }
}
