//! Planning takes almost no memory, and its peak is below the one that the allocator counts. One test,
//! since all threads of a process share the counter.

#![allow(clippy::unwrap_used)]

use std::alloc::System;

use candle_core::{DType, Device, Tensor};
use packlight_autograd::Pass;
use packlight_autograd::allocator::{self, Counting};
use packlight_nn::footprint::{Footprint, Step};
use packlight_nn::model::{Inputs, Mixer, Resnet18, Resnet50, Takes, Vit, models};
use packlight_nn::{Model, ModelSpec, Plan};

#[global_allocator]
static ALLOCATOR: Counting<System> = Counting::new(System);

/// Beside the parameters, which are counted but never touched.
const MOST: usize = 32 << 20;

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

/// The most that the allocator counts within a step, above what was there before.
fn counted(model: &Model, images: &Tensor) -> usize {
    let labels = Tensor::zeros(images.dims()[0], DType::U32, &Device::Cpu).unwrap();
    let before = allocator::live();
    allocator::reset_peak();
    let inputs = Inputs::Images(images.copy().unwrap());
    let logits = model.logits(&inputs, &Pass::training()).unwrap();
    drop(inputs);
    let loss = model.loss(&logits, &labels).unwrap();
    drop(logits);
    drop(loss.backward().unwrap());
    allocator::peak() - before
}

fn the_planned_peak_is_a_lower_bound() {
    let resnet18 = ModelSpec::new(Resnet18 { width: 16, ..Resnet18::default() });
    let resnet50 = ModelSpec::new(Resnet50 { width: 16, ..Resnet50::default() });
    let vit = ModelSpec::new(Vit { width: 48, depth: 3, ..Vit::default() });
    let mixer = ModelSpec::new(Mixer { width: 48, depth: 3, ..Mixer::default() });
    let images = Tensor::ones((32, 3, 32, 32), DType::F32, &Device::Cpu).unwrap();
    for spec in [resnet18, resnet50, vit, mixer] {
        let spec = spec.for_images(3, 32, 10).unwrap();
        for plan in ["none", "pool2", "q4", "linear=q4", "checkpoint=block"] {
            let of = format!("{} with `{plan}`", spec.name());
            let plan = Plan::parse(plan).unwrap();
            let Ok(model) = Model::planned(&spec, &plan, 0, DType::F32, &Device::Cpu) else {
                continue;
            };
            counted(&model, &images); // what is allocated once, such as threads' buffers
            let counted = counted(&model, &images);
            let planned = Footprint::of(&spec, &plan, &Step::of_batch(32)).unwrap().peak.total();
            let share = planned as f64 / counted as f64;
            println!("{of}: planned {planned}, counted {counted}: {share:.3}");
            // Convolutions lay their sources out anew, which is not planned.
            let least = if of.starts_with("resnet") { 0.8 } else { 0.98 };
            let known = (least..1.01).contains(&share);
            assert!(known, "{of}: {planned} planned, {counted} counted");
        }
    }
}

#[test]
fn planning_is_cheap_and_its_peak_a_lower_bound() {
    planning_takes_almost_no_memory();
    the_planned_peak_is_a_lower_bound();
}
