//! Planning takes almost no memory, and its peak is close to the one that the allocator counts. One test,
//! since all threads of a process share the counter.

#![allow(clippy::unwrap_used)]

use std::alloc::System;

use candle_core::{DType, Device, Tensor};
use packlight_autograd::allocator::{self, Counting};
use packlight_autograd::{EagerUpdates, Pass};
use packlight_nn::footprint::{Footprint, Step};
use packlight_nn::model::{Inputs, Takes, models};
use packlight_nn::{Model, ModelSpec, Plan};

#[global_allocator]
static ALLOCATOR: Counting<System> = Counting::new(System);

/// Beside the parameters, which are counted but never touched.
const MOST: usize = 32 << 20;

const BATCH: usize = 48;
const LENGTH: usize = 64;
const SIDE: usize = 32;

// Large enough that the graph itself, some kilobytes for each operation, and what a product lays out anew, up to
// 256 KiB for each thread, are small beside what they hold.
const NETWORKS: [(&str, &str); 13] = [
    ("resnet18", "width = 16"),
    ("resnet50", "width = 16"),
    ("resnet20", "width = 16"),
    ("mobilenet_v2", "width = 8"),
    ("efficientnet_b0", "width = 8"),
    ("mcunet", "width = 16"),
    ("swin", "width = 96, depths = [2,2], window = 4"),
    ("vit", "width = 48, depth = 3"),
    ("mixer", "width = 48, depth = 3"),
    ("mlp", "hidden = [512,512,512]"),
    ("gpt", "width = 96, depth = 3, heads = 2"),
    ("bert", "width = 96, depth = 3, heads = 2"),
    ("transformer", "width = 96, depth = 2, heads = 2"),
];

/// A step so large that any tensor that is not a blank takes more than [`MOST`].
fn planning_takes_almost_no_memory() {
    for entry in models() {
        let spec = ModelSpec::named(entry.name(), toml::Table::new()).unwrap();
        let spec = match spec.takes() {
            Takes::Pairs { .. } => spec.for_sequences(1000, 1000).unwrap(),
            Takes::Text => spec.for_text(1000).unwrap(),
            Takes::LabelledText { .. } => spec.for_labelled_text(1000, 10).unwrap(),
            _ => spec.for_images(3, 32, 10).unwrap(),
        };
        for plan in ["none", "q4", "checkpoint=block", "ara=2:2:2:2", "blpa:4"] {
            let plan = Plan::parse(plan).unwrap();
            let Ok(model) = Model::blank(&spec, &plan, DType::F32) else { continue };
            let parameters = model.parameters().count();
            drop(model);
            allocator::reset_peak();
            let before = allocator::live();
            let step = Step::of_batch(4096);
            let footprint = Footprint::of(&spec, &plan, &step).unwrap();
            let taken = allocator::peak() - before;
            let of = format!("{} with `{plan}`", spec.name());
            assert!(taken < 4 * parameters + MOST, "{of}: {} MiB", taken >> 20);
            // An MLP keeps no more than its inputs and a few features.
            assert!(footprint.kept().total() > MOST || entry.name() == "mlp", "{of}");
        }
    }
}

/// Inputs and labels of a batch.
fn batch(spec: &ModelSpec) -> (Inputs, Tensor) {
    let tokens = Tensor::ones((BATCH, LENGTH), DType::U32, &Device::Cpu).unwrap();
    let classes = Tensor::zeros(BATCH, DType::U32, &Device::Cpu).unwrap();
    match spec.takes() {
        Takes::Pairs { .. } => {
            let (source, target) = (tokens.clone(), tokens.clone());
            (Inputs::Pairs { source, target }, tokens)
        }
        Takes::Text => (Inputs::Text(tokens.clone()), tokens),
        Takes::LabelledText { .. } => (Inputs::Text(tokens), classes),
        _ => {
            let images = Tensor::ones((BATCH, 3, SIDE, SIDE), DType::F32, &Device::Cpu).unwrap();
            (Inputs::Images(images), classes)
        }
    }
}

/// The most that the allocator counts within a step, as a trainer takes it, above what was there before.
fn counted(model: &Model, spec: &ModelSpec, plan: &Plan) -> usize {
    let before = allocator::live();
    allocator::reset_peak();
    let (inputs, labels) = batch(spec);
    let updates = EagerUpdates::default();
    let pass = Pass::training().with_eager_updates(&updates);
    let logits = model.logits(&inputs, &pass).unwrap();
    drop(inputs);
    let loss = model.loss(&logits, &labels).unwrap();
    drop(logits);
    match plan.memory_strategy().updates_eagerly {
        true => drop(updates.backward(&loss, |_, _| Ok(())).unwrap()),
        false => drop(updates.collect(&loss).unwrap()),
    }
    allocator::peak() - before
}

fn the_planned_peak_is_the_counted_one() {
    let mut faults = Vec::new();
    for (name, options) in NETWORKS {
        let spec = ModelSpec::named(name, options.replace(", ", "\n").parse().unwrap()).unwrap();
        let spec = match spec.takes() {
            Takes::Pairs { .. } => spec.for_sequences(100, 100).unwrap(),
            Takes::Text => spec.for_text(100).unwrap(),
            Takes::LabelledText { .. } => spec.for_labelled_text(100, 10).unwrap(),
            _ => spec.for_images(3, SIDE, 10).unwrap(),
        };
        // A weight that two layers share is not complete at once; transformers of text have one.
        let eager = ["q4,update=eager", "checkpoint=block,update=eager"];
        let eager = if matches!(name, "resnet18" | "vit" | "mixer") { &eager[..] } else { &[] };
        // Keeps the derivative of a GELU, so that the codec computes the gradient.
        let own = ["norm=q4,attention=q4,linear=q4,regelu2"];
        let own = if matches!(name, "swin" | "vit" | "mixer") { &own[..] } else { &[] };
        for plan in ["none", "pool2", "q4", "linear=q4", "topk:0.02:mask", "checkpoint=block"]
            .iter()
            .chain(eager)
            .chain(own)
        {
            let of = format!("{name} with `{plan}`");
            let plan = Plan::parse(plan).unwrap();
            let Ok(model) = Model::planned(&spec, &plan, 0, DType::F32, &Device::Cpu) else {
                continue;
            };
            // The first step also allocates buffers that stay.
            let counted = (0..2).map(|_| counted(&model, &spec, &plan)).min().unwrap();
            let step = Step { length: LENGTH, ..Step::of_batch(BATCH) };
            let planned = Footprint::of(&spec, &plan, &step).unwrap();
            let share = |planned: &Footprint| planned.peak.total() as f64 / counted as f64;
            let (with, without) = (share(&planned), share(&planned.clone().without_workspace()));
            println!("{:?}", planned.peak);
            println!("{of}: counted {counted}, planned {with:.3}, without workspace {without:.3}");
            if !(0.97..1.03).contains(&with) {
                faults.push(format!("{of}: {with:.3} of {counted} planned"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn planning_is_cheap_and_its_peak_is_counted() {
    // How much several threads allocate depends on which of them work.
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().unwrap();
    planning_takes_almost_no_memory();
    the_planned_peak_is_the_counted_one();
}
