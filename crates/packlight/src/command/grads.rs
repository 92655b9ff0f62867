//! `packlight grads`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use candle_core::{DType, Device, Tensor};
use clap::Args;
use packlight::autograd::{Activation, Pass};
use packlight::nn::{Model, Module, Plan, weights};
use serde::Serialize;

use super::print_json;
use crate::model_options::ModelOptions;

/// Compute the gradients of one batch, to compare with any other framework.
///
/// IN holds `input` (N,C,H,W), `labels` (N, integers) and `param.<name>` for every parameter of the
/// model, by PyTorch's names. OUT gets `loss` (1) and `grad.<name>` for every parameter: of the
/// cross-entropy averaged over the batch, with batch norm in training mode, and with what the plan's
/// codecs make of the gradients.
#[derive(Args)]
#[command(after_help = "\
Examples:
  packlight grads --model resnet18 --stem cifar --width 8 --plan pool2 \\
      --input batch.safetensors --output gradients.safetensors")]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelOptions,
    /// The batch and the parameters, as safetensors
    #[arg(long, value_name = "IN")]
    input: PathBuf,
    /// Which codec each layer uses
    #[arg(long, default_value = "none")]
    plan: String,
    /// Where the loss and the gradients go, as safetensors
    #[arg(long, value_name = "OUT")]
    output: PathBuf,
    /// Print the loss as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Found {
    loss: f32,
    gradients: usize,
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let tensors = weights::read(&self.input, &Device::Cpu)?;
        let batch = Batch { tensors };
        let (loss, gradients) =
            self.gradients(&batch).with_context(|| self.input.display().to_string())?;
        let found = Found { loss: loss.to_vec1::<f32>()?[0], gradients: gradients.len() };
        let mut answer: BTreeMap<String, Tensor> = BTreeMap::from([("loss".to_owned(), loss)]);
        answer.extend(gradients.into_iter().map(|(name, grad)| (format!("grad.{name}"), grad)));
        weights::write(&self.output, &answer)?;
        if self.json {
            print_json(&found)?;
        } else {
            let output = self.output.display();
            println!("loss {}, {} gradients in {output}", found.loss, found.gradients);
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The loss, of shape (1), and each parameter's gradient.
    fn gradients(&self, batch: &Batch) -> anyhow::Result<(Tensor, BTreeMap<String, Tensor>)> {
        let input = batch.input()?;
        let (samples, channels, height, _) = input.dims4()?;
        let spec = self.model.spec();
        // A classifier is registered last, so its bias tells the number of classes.
        let smallest =
            Model::new(&spec.for_images(channels, height, 1)?, 0, DType::F32, &Device::Cpu)?;
        let (last, _) = smallest.parameters().named().last().context("the model is empty")?;
        let classes = batch.parameter(last)?.dim(0)?;
        let spec = spec.for_images(channels, height, classes)?;
        let plan = Plan::parse(&self.plan)?;
        let model = Model::planned(&spec, &plan, 0, DType::F32, &Device::Cpu)?;
        batch.set_parameters(&model)?;
        let labels = batch.labels(samples, classes)?;

        let logits = model.forward(&Activation::from_tensor(&input, &Pass::training())?)?;
        let loss = model.loss(&logits, &labels)?.into_tensor()?;
        let store = loss.backward()?;
        let of = |(name, var): (&str, &candle_core::Var)| {
            let gradient = store.get(var).with_context(|| format!("`{name}` has no gradient"))?;
            Ok((name.to_owned(), gradient.clone()))
        };
        let gradients = model.parameters().trained().map(of).collect::<anyhow::Result<_>>()?;
        Ok((loss.detach().reshape(1)?, gradients))
    }
}

/// What the input file holds.
struct Batch {
    tensors: BTreeMap<String, Tensor>,
}

const PARAMETER: &str = "param.";

impl Batch {
    fn tensor(&self, name: &str, what: &str) -> anyhow::Result<&Tensor> {
        self.tensors.get(name).with_context(|| format!("the tensor `{name}` ({what}) is missing"))
    }

    fn input(&self) -> anyhow::Result<Tensor> {
        let input = self.tensor("input", "the images, f32 of (N,C,H,W)")?;
        ensure!(
            input.rank() == 4 && input.elem_count() > 0 && input.dtype().is_float(),
            "the tensor `input` is {:?} of {:?}, expected f32 of (N,C,H,W)",
            input.dtype(),
            input.dims()
        );
        Ok(input.to_dtype(DType::F32)?)
    }

    fn labels(&self, samples: usize, classes: usize) -> anyhow::Result<Tensor> {
        let labels = self.tensor("labels", "the classes, integers of (N)")?;
        ensure!(
            labels.dims() == [samples] && !labels.dtype().is_float(),
            "the tensor `labels` is {:?} of {:?}, expected integers of [{samples}]",
            labels.dtype(),
            labels.dims()
        );
        let labels = labels.to_dtype(DType::I64)?.to_vec1::<i64>()?;
        if let Some(wrong) = labels.iter().find(|&&label| !(0..classes as i64).contains(&label)) {
            bail!("the tensor `labels` holds {wrong}, expected 0 to {}", classes - 1);
        }
        Ok(Tensor::from_iter(labels.into_iter().map(|label| label as u32), &Device::Cpu)?)
    }

    fn parameter(&self, name: &str) -> anyhow::Result<&Tensor> {
        self.tensor(&format!("{PARAMETER}{name}"), "a parameter of the model")
    }

    fn set_parameters(&self, model: &Model) -> anyhow::Result<()> {
        let mut tensors = model.parameters().tensors()?;
        for (name, var) in model.parameters().named() {
            let given = self.parameter(name)?;
            ensure!(
                given.dims() == var.dims(),
                "the tensor `{PARAMETER}{name}` has shape {:?}, expected {:?}",
                given.dims(),
                var.dims()
            );
        }
        for (name, tensor) in &self.tensors {
            if let Some(name) = name.strip_prefix(PARAMETER) {
                tensors.insert(name.to_owned(), tensor.clone());
            }
        }
        Ok(model.parameters().set(&tensors)?)
    }
}
