//! `packlight eval`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{anyhow, bail};
use candle_core::DType;
use clap::{Args, ValueEnum};
use packlight::nn::weights::File;
use packlight::nn::{Model, ModelSpec, Plan};
use packlight::record::layout::{RUNS, STUDY};
use packlight::spec::PlanSpec;
use packlight::study::data::{
    DataSet, DataSpec, Error, Form, Normalise, SetName, choose, data_dir, load,
};
use packlight::study::{Origin, WEIGHTS, evaluate, translation_bleu};
use serde::Serialize;

use super::on_device::OnDevice;
use crate::model_options::GivenModel;
use crate::output::{Output, say};

/// Count how many test images (or tokens) a model with given weights gets right.
///
/// The weights of a run say what they are: the model with its sizes, the plan, the data and their
/// normalisation. So `--run DIR` or `--weights FILE` is enough, and a flag that says otherwise is an
/// error. Weights of other programs need `--model` with its options, `--data` and perhaps `--size`,
/// `--length`, `--normalise` and `--plan`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  packlight eval --run reports/quickstart/runs/pool2-seed0
  packlight eval --weights pool2.safetensors --json
  packlight eval --run reports/quickstart/runs/pool2-seed0 --device cuda
  packlight eval --weights resnet20.safetensors --model resnet20 --data cifar-10
  packlight eval --weights gpt.safetensors --model gpt --data tinyshakespeare --length 256")]
pub(crate) struct Arguments {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    model: GivenModel,
    /// The data set: digits, mnist, fashion-mnist, cifar-10, cifar-100, folder:PATH, reverse,
    /// multi30k, tinyshakespeare, text:PATH or labelled:PATH; or the first of several that exists, as in
    /// "fashion-mnist or digits"
    #[arg(long, value_name = "SET")]
    data: Option<SetName>,
    /// The folder with the data sets that are not built in [default: $PACKLIGHT_DATA]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Height and width to resize images to [default: as in a study]
    #[arg(long, value_name = "PIXELS")]
    size: Option<usize>,
    /// Tokens in a sample of a text, or the most of a text of one class [default: as in a study]
    #[arg(long, value_name = "TOKENS")]
    length: Option<usize>,
    /// The plan that the weights were trained with, for methods that change what a layer computes
    /// [default: none]
    #[arg(long)]
    plan: Option<String>,
    /// How images were normalised when the weights were trained [default: imagenet]
    #[arg(long, value_enum)]
    normalise: Option<Normalisation>,
    /// Number of samples to evaluate at a time
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    #[command(flatten)]
    device: OnDevice,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Source {
    /// The folder of a finished run
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,
    /// The weights with PyTorch's names, as safetensors or as a state dict that `torch.save` wrote
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    perplexity: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bleu: Option<f64>,
}

/// The model that weights are of, and the data to evaluate it on.
struct Subject {
    model: ModelSpec,
    plan: String,
    data: DataSet,
}

impl Arguments {
    pub(crate) fn run(self, out: &mut Output) -> anyhow::Result<ExitCode> {
        let device = &self.device.open()?;
        let path = self.source.path()?;
        let file = File::open(&path)?;
        let subject = match Origin::read(&file)? {
            Some(origin) => self.as_recorded(origin, &path)?,
            None => self.as_given(&path)?,
        };
        let spec = subject.data.model(&subject.model)?;
        let plan = Plan::parse(&subject.plan)?;
        let model = Model::planned(&spec, &plan, 0, DType::F32, device)?;
        model.load(&file)?;
        let found = evaluate(&model, &subject.data.test, self.batch as usize, device)?;
        let (correct, total, accuracy, loss) =
            (found.correct, found.total, found.accuracy(), found.loss);
        let batch = self.batch as usize;
        let bleu = translation_bleu(&model, &subject.data.test, batch, device)?;
        let perplexity = found.perplexity().filter(|_| subject.data.is_text());
        if subject.data.is_text() && perplexity.is_none() {
            say(format_args!(
                "the perplexity, e to the power of {loss:.4}, is beyond the largest number"
            ));
        }
        if self.json {
            out.json(&Found { correct, total, accuracy, loss, perplexity, bleu })?;
        } else {
            let percent = 100.0 * accuracy;
            let perplexity = perplexity.map(|p| format!(", perplexity {p:.2}")).unwrap_or_default();
            let bleu = bleu.map(|bleu| format!(", BLEU {bleu:.2}")).unwrap_or_default();
            writeln!(
                out,
                "{correct} of {total} correct ({percent:.2} %), loss {loss:.4}{perplexity}{bleu}"
            )?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// What the flags say, for weights that do not say it themselves.
    fn as_given(&self, path: &Path) -> anyhow::Result<Subject> {
        let (Some(model), Some(data)) = (self.model.spec(), &self.data) else {
            bail!(
                "{} does not say which model and data its weights are for, as those of packlight's \
                 runs do; give --model with its options and --data",
                path.display()
            );
        };
        let data_dir = data_dir(self.data_dir.clone());
        let (size, length) = (self.size, self.length);
        let spec = DataSpec { size, length, ..DataSpec::new(data.clone()) };
        let name = choose(&spec, data_dir.as_deref())?;
        let normalise = match self.normalise.unwrap_or(Normalisation::Imagenet) {
            Normalisation::Imagenet if name.is_of_sequences() => None,
            given => given.numbers(),
        };
        let spec = DataSpec { name, normalise, ..spec };
        let data = load(&spec, data_dir.as_deref()).map_err(|e| with_remedy(e, &spec.name))?;
        let plan = self.plan.clone().unwrap_or_else(|| "none".to_owned());
        Ok(Subject { model: model.clone(), plan, data })
    }

    /// What the weights say themselves, unless a flag says otherwise.
    fn as_recorded(&self, origin: Origin, path: &Path) -> anyhow::Result<Subject> {
        if let Some((flag, recorded)) = self.contradiction(&origin)? {
            return Err(contradicted(path, &flag, &recorded));
        }
        let data = self.recorded_data(&origin, path)?;
        Ok(Subject { model: origin.model, plan: origin.plan, data })
    }

    /// The first flag about the model, the plan or the data set that says otherwise than the weights, and
    /// what they say.
    fn contradiction(&self, origin: &Origin) -> anyhow::Result<Option<(String, String)>> {
        if let Some(found) = self.model.contradiction(&origin.model)? {
            return Ok(Some(found));
        }
        if let Some(given) = &self.plan
            && !same_plan(given, &origin.plan)?
        {
            return Ok(Some((format!("--plan {given}"), format!("plan {}", origin.plan))));
        }
        let recorded = &origin.data.name;
        let of_images = origin.model.facts().image_size;
        if let Some(size) = self.size
            && Some(size) != of_images
        {
            let says = match of_images {
                Some(size) => format!("size {size}"),
                None => format!("data {recorded}, which has no size"),
            };
            return Ok(Some((format!("--size {size}"), says)));
        }
        if let Some(length) = self.length
            && Some(length) != origin.data.tokens()
        {
            let says = match origin.data.tokens() {
                Some(tokens) => format!("length {tokens}"),
                None => format!("data {recorded}, which has no length"),
            };
            return Ok(Some((format!("--length {length}"), says)));
        }
        Ok(match &self.data {
            Some(SetName::FirstOf(sets)) if sets.contains(recorded) => None,
            Some(given) if given != recorded && self.other_folder(recorded).is_none() => {
                Some((format!("--data {given}"), format!("data {recorded}")))
            }
            _ => None,
        })
    }

    /// The folder of images that `--data` names, if the weights were trained on such a folder, too: it
    /// may be another one, or lie elsewhere.
    fn other_folder(&self, recorded: &SetName) -> Option<&SetName> {
        let both = |given: &&SetName| {
            matches!((given, recorded), (SetName::Folder(_), SetName::Folder(_)))
        };
        self.data.as_ref().filter(both)
    }

    /// The data that the weights were trained on, or the folder of images given in their place.
    fn recorded_data(&self, origin: &Origin, path: &Path) -> anyhow::Result<DataSet> {
        let other = self.other_folder(&origin.data.name);
        let spec = DataSpec {
            name: other.unwrap_or(&origin.data.name).clone(),
            base: if other.is_some() { PathBuf::new() } else { study_of(path) },
            normalise: match self.normalise {
                Some(given) => given.numbers(),
                None => origin.data.normalise.clone(),
            },
            ..origin.data.clone()
        };
        let data = load(&spec, data_dir(self.data_dir.clone()).as_deref())
            .map_err(|e| with_remedy(e, &spec.name))?;
        if let (Some(given), Form::Images { normalise, .. }, Some(recorded)) =
            (self.normalise, &data.form, &origin.data.normalise)
            && normalise != recorded
        {
            let flag = format!("--normalise {}", given.name());
            let Normalise { mean, std } = recorded;
            let recorded = format!("mean {mean:?} and deviation {std:?}");
            return Err(contradicted(path, &flag, &recorded));
        }
        if other.is_none() && data.checksum != origin.data_hash {
            let remedy = match spec.name {
                SetName::Folder(_) => ", or give --data folder:PATH to evaluate on other images",
                _ => "",
            };
            bail!(
                "{}: {} has changed since these weights were trained (SHA-256 {:.12} then, {:.12} \
                 now); put it back{remedy}",
                path.display(),
                spec.name,
                origin.data_hash,
                data.checksum
            );
        }
        Ok(data)
    }
}

/// The error for a flag that says otherwise than the weights.
fn contradicted(path: &Path, flag: &str, recorded: &str) -> anyhow::Error {
    anyhow!("{flag} contradicts {}, which says {recorded}; leave the flag out", path.display())
}

impl Source {
    /// The path of the weights.
    fn path(&self) -> anyhow::Result<PathBuf> {
        match (&self.run, &self.weights) {
            (Some(run), _) if run.join(WEIGHTS).exists() => Ok(run.join(WEIGHTS)),
            (Some(run), _) if !run.is_dir() => bail!("{}: there is no such folder", run.display()),
            (Some(run), _) if run.join(STUDY).is_file() => bail!(
                "{} is a study; give one of its runs, such as {}",
                run.display(),
                run.join(RUNS).join("none-seed0").display()
            ),
            (Some(run), _) => {
                bail!("{} holds no {WEIGHTS}; give a run that has finished", run.display())
            }
            (None, Some(weights)) if weights.is_dir() => {
                bail!("{0} is a folder; give a file, or --run {0}", weights.display())
            }
            (None, Some(weights)) => Ok(weights.clone()),
            (None, None) => bail!("give --run or --weights"),
        }
    }
}

impl Normalisation {
    /// The numbers; `None` for the data set's own.
    fn numbers(self) -> Option<Normalise> {
        match self {
            Normalisation::Imagenet => {
                Some(Normalise { mean: vec![0.485, 0.456, 0.406], std: vec![0.229, 0.224, 0.225] })
            }
            Normalisation::Data => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Normalisation::Imagenet => "imagenet",
            Normalisation::Data => "data",
        }
    }
}

/// Whether two plans give the same rules.
fn same_plan(one: &str, other: &str) -> anyhow::Result<bool> {
    let parsed =
        |text: &str| text.parse::<PlanSpec>().map_err(|reason| anyhow!("--plan: {reason}"));
    let (one, other) = (parsed(one)?, parsed(other)?);
    let parts = |plan: PlanSpec| (plan.rules, plan.strategy, plan.last, plan.biases);
    Ok(parts(one) == parts(other))
}

/// The folder of the study that a file of weights lies in; empty, for the working directory, if it lies
/// elsewhere.
fn study_of(weights: &Path) -> PathBuf {
    let whole = weights.canonicalize().unwrap_or_default();
    let study = whole.ancestors().nth(3).filter(|study| study.join(STUDY).is_file());
    study.map(Path::to_path_buf).unwrap_or_default()
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
