//! `packlight plans`.

use std::process::ExitCode;

use candle_core::{DType, Device};
use clap::Args;
use packlight::nn::{Model, Plan};
use serde::Serialize;

use crate::model_options::ModelOptions;
use crate::output::Output;

/// Show which codec a plan gives each layer of a model.
///
/// A plan is a codec (`pool2`), or rules WHICH=CODEC separated by commas, where WHICH is a layer's
/// name, a pattern of names with `*`, a kind of layer (conv, linear, norm, ...) or `default`; the
/// most specific rule wins, and layers without a rule keep their inputs exactly.
#[derive(Args)]
#[command(after_help = "\
Examples:
  packlight plans --model resnet18
  packlight plans --model resnet18 --plan 'layer3.*=pool4,default=pool2'
  packlight plans --model vit --plan attention=pool2
  packlight plans --model mlp --plan linear=pool2 --json")]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelOptions,
    /// The plan
    #[arg(long, default_value = "none")]
    plan: String,
    /// Print the layers as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Layer {
    layer: String,
    kind: &'static str,
    codec: String,
}

impl Arguments {
    pub(crate) fn run(self, out: &mut Output) -> anyhow::Result<ExitCode> {
        // Layers do not depend on the data; any that the model takes will do.
        let spec = self.model.spec();
        let spec = match spec.name.takes_sequences() {
            true => spec.for_sequences(10, 10)?,
            false => spec.for_images(3, spec.patch.map_or(32, |patch| 2 * patch), 10)?,
        };
        let plan = Plan::parse(&self.plan)?;
        let model = Model::planned(&spec, &plan, 0, DType::F32, &Device::Cpu)?;
        let layers: Vec<Layer> = model
            .layers()
            .iter()
            .map(|layer| Layer {
                layer: layer.name().to_owned(),
                kind: layer.kind().name(),
                codec: layer.codec().name(),
            })
            .collect();
        if self.json {
            out.json(&layers)?;
            return Ok(ExitCode::SUCCESS);
        }
        let width = layers.iter().map(|layer| layer.layer.len()).max().unwrap_or(0);
        for Layer { layer, kind, codec } in &layers {
            writeln!(out, "{layer:<width$}  {kind:<10}  {codec}")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
