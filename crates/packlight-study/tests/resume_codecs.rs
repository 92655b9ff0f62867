//! Every codec that remembers something of its layers goes on with it after a stop.

#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use candle_core::{DType, Device, Tensor};
use common::{StopAfter, options, study};
use packlight_autograd::Pass;
use packlight_codec::registry::CODECS;
use packlight_nn::model::Inputs;
use packlight_nn::{Model, ModelSpec, Plan, Steps, codec_state};
use packlight_record::layout::RUNS;
use packlight_study::{Error, Progress, Silent, run_study};

/// Networks of plain features, of tokens and of images.
const MODELS: [&str; 3] = [
    "name = \"mlp\"\nhidden = [8]",
    "name = \"vit\"\nwidth = 8\ndepth = 1\nheads = 2",
    "name = \"resnet18\"\nwidth = 2",
];

fn text(model: &str, plan: &str) -> String {
    format!(
        r#"
name = "tiny"
title = "A study for tests"
seeds = [3]
epochs = 2
batch = 4

[model]
{model}

[data]
name = "digits"
size = 8
train_limit = 10
test_limit = 4

[plans]
p = "{plan}"

[optimizer]
name = "sgd"
learning_rate = 0.05
"#
    )
}

/// In the first epoch, and between the two; a run has six steps.
const STOPS: [u64; 2] = [1, 3];
const RUN: &str = "p-seed3";

/// Whether the codecs of a plan remember something of a model's layers after two steps; `None` where
/// they cannot pack what these read.
fn remembers(model: &str, plan: &str) -> Option<bool> {
    let spec: ModelSpec = toml::from_str(model).unwrap();
    let spec = spec.for_images(1, 8, 10).unwrap();
    let plan = Plan::parse(plan).unwrap();
    let model = Model::planned(&spec, &plan, 3, DType::F32, &Device::Cpu).ok()?;
    let pixels = (0..4 * 64).map(|at| (at * 37 % 64) as f32 / 64.0);
    let images = Tensor::from_iter(pixels, &Device::Cpu).unwrap().reshape((4, 1, 8, 8)).unwrap();
    let (images, labels) = (Inputs::Images(images), Tensor::new(&[1u32, 7, 0, 3], &Device::Cpu));
    let labels = labels.unwrap();
    let loss = |pass: &Pass| -> packlight_nn::Result<Tensor> {
        model.loss(&model.logits(&images, pass)?, &labels)
    };
    let mut steps = Steps::new(model.parameters(), 3, 2);
    for _ in 0..2 {
        let pass = steps.begin(loss).ok()?;
        loss(&pass).ok()?.backward().ok()?;
        steps.allocate().ok()?;
    }
    Some(!codec_state::tensors(model.save_points()).is_empty())
}

fn records(dir: &Path) -> Vec<u8> {
    std::fs::read(dir.join(RUNS).join(RUN).join("records.jsonl")).unwrap()
}

#[test]
fn what_a_codec_remembers_is_there_after_a_stop() {
    let mut remembering = Vec::new();
    for codec in CODECS.iter().flat_map(|entry| entry.examples) {
        // By default a codec is for some layers; ReLUs and some others are not in all networks.
        let plans = [(*codec).to_owned(), format!("linear={codec}")];
        let all = MODELS.iter().flat_map(|model| plans.iter().map(move |plan| (model, plan)));
        let found: Vec<_> =
            all.map(|(model, plan)| (remembers(model, plan), model, plan)).collect();
        let Some((_, model, plan)) = found.into_iter().find(|found| found.0 == Some(true)) else {
            continue;
        };
        remembering.push(*codec);
        let text = text(model, plan);
        let whole = study(&text);
        run(whole.path(), &AtomicBool::new(false), &mut Silent).unwrap();
        for step in STOPS {
            let dir = study(&text);
            let interrupted = AtomicBool::new(false);
            let mut stop = StopAfter { step, interrupted: &interrupted };
            let stopped = run(dir.path(), &interrupted, &mut stop);
            assert!(matches!(stopped, Err(Error::Interrupted)), "{codec}: {stopped:?}");
            run(dir.path(), &AtomicBool::new(false), &mut Silent).unwrap();
            let same = records(dir.path()) == records(whole.path());
            assert!(same, "{plan}, stopped after step {step}");
        }
    }
    println!("{remembering:?}");
    for known in
        ["gact:4", "asi:0.8", "asi:2MiB", "alam:2", "actnn:3", "mesa", "surgeon", "velora:4"]
    {
        assert!(remembering.contains(&known), "{known} is not among {remembering:?}");
    }
}

fn run(dir: &Path, interrupted: &AtomicBool, progress: &mut dyn Progress) -> Result<(), Error> {
    let summary = run_study(dir, &options(interrupted), progress)?;
    assert!(!summary.any_failed(), "{summary:?}");
    Ok(())
}
