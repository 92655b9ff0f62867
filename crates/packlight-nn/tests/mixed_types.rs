//! Activations in a narrower type than the parameters: what is computed and saved has the activations' type, as in
//! bf16 on a CUDA device; gradients have the parameters'. Here activations are f32 and parameters f64 that f32
//! holds, so that everything has the bits of a network in f32.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use packlight_autograd::{EagerUpdates, Ledger, Pass};
use packlight_kernels::rng::{Key, Purpose};
use packlight_nn::model::{EfficientnetB0, Inputs, Mixer, Model, ModelSpec, Resnet18, Swin, Vit};
use packlight_nn::{Plan, gradients};

const SIDE: usize = 24;
const CLASSES: usize = 5;

fn batch() -> (Inputs, Tensor) {
    let mut stream = Key::new(4, Purpose::Sample).stream();
    let values: Vec<f32> = (0..4 * 3 * SIDE * SIDE).map(|_| stream.normal() as f32).collect();
    let images = Tensor::from_vec(values, (4, 3, SIDE, SIDE), &Device::Cpu).unwrap();
    (Inputs::Images(images), Tensor::new(&[0u32, 4, 2, 1], &Device::Cpu).unwrap())
}

/// The values of a tensor, which f32 holds.
fn values(tensor: &Tensor) -> Vec<f32> {
    let flat = tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap();
    let wide: Vec<f64> = flat.to_vec1().unwrap();
    wide.into_iter().map(|value| value as f32).inspect(|value| assert!(value.is_finite())).collect()
}

/// The loss, all gradients by name, and the bytes that a step saves at most, with the parameters of `other`.
fn step(model: &Model, other: &Model) -> (f32, BTreeMap<String, Vec<f32>>, usize) {
    model.parameters().set(&other.parameters().tensors().unwrap()).unwrap();
    let (inputs, labels) = batch();
    let ledger = Ledger::new();
    let (loss, store) = gradients(model.parameters(), |pass: &Pass| {
        let pass = pass.clone().with_ledger(&ledger);
        model.loss(&model.logits(&inputs, &pass)?, &labels)
    })
    .unwrap();
    let of = |(name, var): (&str, &candle_core::Var)| {
        let gradient = store.get(var).unwrap();
        assert_eq!(gradient.dtype(), var.dtype(), "{name}");
        (name.to_owned(), values(gradient))
    };
    assert_eq!(loss.dtype(), DType::F32);
    (values(&loss)[0], model.parameters().trained().map(of).collect(), ledger.peak())
}

#[test]
fn gradients_have_the_bits_of_the_activations_type_and_the_type_of_the_parameters() {
    let efficientnet = EfficientnetB0 { width: 2, ..EfficientnetB0::default() };
    let vit = Vit { width: 16, depth: 2, heads: 2, patch: 8, ..Vit::default() };
    let swin = Swin { width: 8, depths: vec![2, 2], heads: 2, window: 3, ..Swin::default() };
    let mixer = Mixer { width: 8, depth: 2, ..Mixer::default() };
    for (spec, plans) in [
        (
            ModelSpec::new(Resnet18 { width: 4, ..Resnet18::default() }),
            &["none", "pool2", "q2", "blpa:4", "hosvd:0.8", "checkpoint=block", "last=2"][..],
        ),
        (ModelSpec::new(efficientnet), &["none", "q4"]),
        (ModelSpec::new(vit), &["none", "mesa", "msnorm", "scores=recompute", "asa4", "bias=all"]),
        (ModelSpec::new(swin), &["none", "q2"]),
        (ModelSpec::new(mixer), &["none", "fp8:e5m2"]),
    ] {
        let spec = spec.for_images(3, SIDE, CLASSES).unwrap();
        for plan in plans {
            let planned = |dtype| {
                let plan = Plan::parse(plan).unwrap();
                Model::planned(&spec, &plan, 7, dtype, &Device::Cpu).unwrap()
            };
            let (narrow, wide) = (planned(DType::F32), planned(DType::F64));
            let (expected, found) = (step(&narrow, &narrow), step(&wide, &narrow));
            assert_eq!(found.0, expected.0, "{}, {plan}: the loss", spec.name());
            assert_eq!(found.2, expected.2, "{}, {plan}: what is saved", spec.name());
            for (name, gradient) in &expected.1 {
                assert_eq!(&found.1[name], gradient, "{}, {plan}: {name}", spec.name());
            }
            assert_eq!(found.1.len(), expected.1.len());
        }
    }
}

#[test]
fn parameters_are_updated_as_soon_as_their_gradients_are_there() {
    let spec = ModelSpec::new(Resnet18 { width: 4, ..Resnet18::default() });
    let spec = spec.for_images(3, SIDE, CLASSES).unwrap();
    let model = Model::new(&spec, 7, DType::F64, &Device::Cpu).unwrap();
    let (inputs, labels) = batch();
    let updates = EagerUpdates::default();
    let pass = Pass::training().with_eager_updates(&updates);
    let loss = model.loss(&model.logits(&inputs, &pass).unwrap(), &labels).unwrap();
    let all = model.parameters().trained().count();
    let seen = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = seen.clone();
    updates
        .backward(&loss, move |parameter, gradient| {
            assert_eq!(gradient.dtype(), parameter.dtype());
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok(())
        })
        .unwrap();
    assert_eq!(seen.load(std::sync::atomic::Ordering::Relaxed), all);
}
