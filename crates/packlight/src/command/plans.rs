//! `packlight plans`.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use candle_core::{DType, Device, Tensor};
use clap::Args;
use packlight::autograd::{Pass, SavePoint};
use packlight::nn::model::{Inputs, Takes};
use packlight::nn::{Model, Plan};
use serde::Serialize;

use crate::model_options::ModelOptions;
use crate::output::Output;

/// Show which codec a plan gives each layer of a model, and which layers it freezes.
///
/// A plan is a codec (`pool2`), or rules SELECTOR=CODEC separated by commas. A selector is a layer's
/// name, a pattern of names with `*`, a kind of layer (conv, linear, norm, ...) or `default`. The most
/// specific rule wins, and layers without a rule save their inputs exactly. With `last=4`, only the
/// last four conv and linear layers and the classifier train; the other layers with parameters are
/// marked as frozen. With `bias=all`, their biases train, and only their weights are frozen.
///
/// The model runs forward and backward once on two synthetic samples: images of 3 x 32 x 32 (or of
/// two patches a side, if patches do not divide 32), or sequences of 8 tokens. A codec that cannot
/// pack its layer's input is an error. Errors that depend on the data, such as a budget that is too
/// small, only appear in `packlight run`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  packlight plans --model resnet18
  packlight plans --model resnet18 --plan 'layer3.*=pool4,default=pool2'
  packlight plans --model vit --plan attention=pool2
  packlight plans --model resnet18 --plan last=4,default=pool2
  packlight plans --model resnet18 --plan bias=all
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
    /// Trainable numbers.
    parameters: usize,
    /// How many of these train.
    trained: usize,
    /// Whether none of them do.
    frozen: bool,
}

/// Classes, or different tokens, of the synthetic samples.
const CLASSES: usize = 10;
const SAMPLES: usize = 2;
const SIDE: usize = 32;
const TOKENS: usize = 8;

impl Arguments {
    pub(crate) fn run(self, out: &mut Output) -> anyhow::Result<ExitCode> {
        // The layers do not depend on the data, so any data that the model takes will do.
        let spec = self.model.spec();
        let spec = match spec.takes() {
            Takes::Pairs { .. } => spec.for_sequences(CLASSES, CLASSES)?,
            Takes::Text => spec.for_text(CLASSES)?,
            Takes::LabelledText { .. } => spec.for_labelled_text(CLASSES, CLASSES)?,
            Takes::SquareImages { multiple_of } if !SIDE.is_multiple_of(multiple_of) => {
                spec.for_images(3, 2 * multiple_of, CLASSES)?
            }
            Takes::Images | Takes::SquareImages { .. } => spec.for_images(3, SIDE, CLASSES)?,
        };
        let plan = Plan::parse(&self.plan)?;
        let model = Model::planned(&spec, &plan, 0, DType::F32, &Device::Cpu)?;
        try_out(&model).with_context(|| format!("plan `{plan}`"))?;
        let layers: Vec<Layer> = model
            .save_points()
            .iter()
            .map(|layer| {
                let (parameters, trained) = parameters_of(&model, layer);
                Layer {
                    layer: layer.name().to_owned(),
                    kind: layer.kind().name(),
                    codec: layer.codec().spec(),
                    parameters,
                    trained,
                    frozen: parameters > 0 && trained == 0,
                }
            })
            .collect();
        if self.json {
            out.json(&layers)?;
            return Ok(ExitCode::SUCCESS);
        }
        let width = layers.iter().map(|layer| layer.layer.len()).max().unwrap_or(0);
        let codecs = layers.iter().map(|layer| layer.codec.len()).max().unwrap_or(0);
        for Layer { layer, kind, codec, parameters, trained, .. } in &layers {
            match what_is_frozen(*parameters, *trained) {
                Some(frozen) => {
                    writeln!(out, "{layer:<width$}  {kind:<10}  {codec:<codecs$}  {frozen}")?;
                }
                None => writeln!(out, "{layer:<width$}  {kind:<10}  {codec}")?,
            }
        }
        let sum = |of: fn(&Layer) -> usize| layers.iter().map(of).sum::<usize>();
        let (all, trained) = (sum(|layer| layer.parameters), sum(|layer| layer.trained));
        if trained < all {
            writeln!(out, "{trained} of {all} parameters train, {} are frozen", all - trained)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What a plan keeps from training of a layer with so many numbers of which so many train, in words.
pub(super) fn what_is_frozen(parameters: usize, trained: usize) -> Option<&'static str> {
    match trained {
        all if all == parameters => None,
        0 => Some("frozen"),
        _ => Some("weight frozen"),
    }
}

/// How many numbers belong to a layer that could train, and how many do.
fn parameters_of(model: &Model, layer: &Arc<SavePoint>) -> (usize, usize) {
    let owned = model.parameters().owned().filter(|(_, _, owner)| Arc::ptr_eq(owner, layer));
    owned.fold((0, 0), |(all, trained), (name, var, owner)| {
        let count = var.elem_count();
        (all + count, trained + if owner.trains(name) { count } else { 0 })
    })
}

/// Runs forward and backward once on synthetic samples.
fn try_out(model: &Model) -> anyhow::Result<()> {
    let facts = model.spec().facts();
    let numbered = |shape: &[usize]| -> anyhow::Result<Tensor> {
        let numbers =
            (0..shape.iter().product::<usize>()).map(|at| (1 + at % (CLASSES - 1)) as u32);
        Ok(Tensor::from_iter(numbers, &Device::Cpu)?.reshape(shape)?)
    };
    let (inputs, labels) = match (model.spec().takes(), facts.image_size) {
        (Takes::Text, _) => {
            let tokens = numbered(&[SAMPLES, TOKENS])?;
            (Inputs::Text(tokens.clone()), tokens)
        }
        (Takes::LabelledText { .. }, _) => {
            (Inputs::Text(numbered(&[SAMPLES, TOKENS])?), numbered(&[SAMPLES])?)
        }
        (_, Some(side)) => {
            let images = numbered(&[SAMPLES, facts.in_channels.unwrap_or(1), side, side])?;
            (Inputs::Images(images.to_dtype(DType::F32)?), numbered(&[SAMPLES])?)
        }
        (_, None) => {
            let tokens = numbered(&[SAMPLES, TOKENS])?;
            (Inputs::Pairs { source: tokens.clone(), target: tokens.clone() }, tokens)
        }
    };
    let logits = model.logits(&inputs, &Pass::training())?;
    model.loss(&logits, &labels)?.backward()?;
    Ok(())
}
