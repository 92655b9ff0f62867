//! `packlight grads`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use candle_core::{Device, Tensor};
use clap::Args;
use packlight::autograd::Pass;
use packlight::nn::{self, Plan, weights};
use serde::Serialize;

use super::on_device::OnDevice;
use crate::batch_file::BatchFile;
use crate::model_options::ModelOptions;
use crate::output::Output;

/// Compute the gradients of one batch, to compare with another framework.
///
/// IN holds a batch and `param.<name>` for every parameter of the model, by PyTorch's names. OUT
/// gets `loss` (1) and `grad.<name>` for every parameter, as computed with the plan's codecs.
///
/// A batch of images is `input` (N,C,H,W) and `labels` (N), the classes. The loss is the
/// cross-entropy averaged over the batch, with batch norm in training mode.
///
/// A batch for a transformer is `src` (N,S), the source tokens, `tgt` (N,T), the target tokens that
/// the decoder reads, and `labels` (N,T), the tokens that it should predict: the target, one
/// position further. Shorter sequences are padded with 0; attention ignores such tokens, and such
/// labels do not count. The loss is the training loss: the cross-entropy, with label smoothing of
/// 0.1, averaged over the labels that count. There is no dropout, because no other program would
/// draw the same random numbers.
///
/// Codecs that allocate bits, ranks or values to all layers (`actnn:3`, `gact:4`, `alam:2`, `asi:2MiB`,
/// `surgeon`) first measure on the batch in a separate step, as at the beginning of training.
///
/// It is an error if the loss or a gradient is not finite.
#[derive(Args)]
#[command(after_help = "\
Examples:
  packlight grads --model resnet18 --stem cifar --width 8 --plan pool2 \\
      --input batch.safetensors --output gradients.safetensors
  packlight grads --model transformer --width 64 --depth 2 --heads 4 --plan linear=q2 \\
      --input pairs.safetensors --output gradients.safetensors
  packlight grads --model resnet18 --device cuda \\
      --input batch.safetensors --output gradients.safetensors")]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelOptions,
    /// The file with the batch and the parameters, as safetensors
    #[arg(long, value_name = "IN")]
    input: PathBuf,
    /// Which codec each layer uses
    #[arg(long, default_value = "none")]
    plan: String,
    /// The file to write the loss and the gradients to, as safetensors
    #[arg(long, value_name = "OUT")]
    output: PathBuf,
    #[command(flatten)]
    device: OnDevice,
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
    pub(crate) fn run(self, out: &mut Output) -> anyhow::Result<ExitCode> {
        let file = BatchFile::read(&self.input, self.device.open()?)?;
        let (loss, gradients) =
            self.gradients(&file).with_context(|| self.input.display().to_string())?;
        let found = Found { loss: loss.to_vec1::<f32>()?[0], gradients: gradients.len() };
        let mut answer: BTreeMap<String, Tensor> = BTreeMap::from([("loss".to_owned(), loss)]);
        answer.extend(gradients.into_iter().map(|(name, grad)| (format!("grad.{name}"), grad)));
        weights::write(&self.output, &answer)?;
        if self.json {
            out.json(&found)?;
        } else {
            let output = self.output.display();
            writeln!(out, "loss {}, {} gradients in {output}", found.loss, found.gradients)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The loss, of shape (1), and each parameter's gradient.
    fn gradients(&self, file: &BatchFile) -> anyhow::Result<(Tensor, BTreeMap<String, Tensor>)> {
        let spec = self.model.spec();
        let spec = match spec.option("dropout") {
            Some(_) => spec.with("dropout", 0.0)?,
            None => spec.clone(),
        };
        let model = file.model(&spec, &Plan::parse(&self.plan)?)?;
        let (inputs, labels) = file.batch(&model)?;

        let loss = |pass: &Pass| model.loss(&model.logits(&inputs, pass)?, &labels);
        let (loss, store) = match nn::gradients(model.parameters(), loss) {
            Err(nn::Error::Diverged { found, .. }) => {
                bail!("{found}: something overflowed on the way; give smaller parameters or inputs")
            }
            found => found?,
        };
        let of = |(name, var): (&str, &candle_core::Var)| {
            let gradient = store.get(var).with_context(|| format!("`{name}` has no gradient"))?;
            Ok((name.to_owned(), gradient.to_device(&Device::Cpu)?))
        };
        let gradients = model.parameters().trained().map(of).collect::<anyhow::Result<_>>()?;
        Ok((loss.detach().reshape(1)?.to_device(&Device::Cpu)?, gradients))
    }
}
