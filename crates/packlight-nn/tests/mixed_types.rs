//! Activations in a narrower type than the parameters: what is computed and saved has the activations' type, as in
//! bf16 on a CUDA device; gradients have the parameters'. Here activations are f32 and parameters f64 that f32
//! holds, so that everything has the bits of a network in f32, but for gradients that a parameter of several places
//! adds up in its own type.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use packlight_autograd::{EagerUpdates, Ledger, Pass};
use packlight_kernels::rng::{Key, Purpose};
use packlight_nn::model::{
    Bert, EfficientnetB0, Gpt, Inputs, Mixer, Model, ModelSpec, Resnet18, Swin, Transformer, Vit,
};
use packlight_nn::{Plan, gradients};

const SIDE: usize = 24;
const CLASSES: usize = 5;

fn images() -> (Inputs, Tensor) {
    let mut stream = Key::new(4, Purpose::Sample).stream();
    let values: Vec<f64> = (0..4 * 3 * SIDE * SIDE).map(|_| stream.normal()).collect();
    let images = Tensor::from_vec(values, (4, 3, SIDE, SIDE), &Device::Cpu).unwrap();
    let labels = Tensor::new(&[0u32, 4, 2, 1], &Device::Cpu).unwrap();
    (Inputs::Images(images.to_dtype(DType::F32).unwrap()), labels)
}

fn text() -> (Inputs, Tensor) {
    let tokens = Tensor::new(&[[1u32, 4, 3], [2, 1, 3]], &Device::Cpu).unwrap();
    (Inputs::Text(tokens), Tensor::new(&[[4u32, 3, 2], [1, 3, 4]], &Device::Cpu).unwrap())
}

fn texts() -> (Inputs, Tensor) {
    let (inputs, _) = text();
    (inputs, Tensor::new(&[2u32, 3], &Device::Cpu).unwrap())
}

fn pairs() -> (Inputs, Tensor) {
    let source = Tensor::new(&[[3u32, 4, 2, 1], [2, 1, 0, 0]], &Device::Cpu).unwrap();
    let (Inputs::Text(target), labels) = text() else { unreachable!() };
    (Inputs::Pairs { source, target }, labels)
}

/// The values of a tensor, which f32 holds.
fn values(tensor: &Tensor) -> Vec<f32> {
    let flat = tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap();
    let wide: Vec<f64> = flat.to_vec1().unwrap();
    wide.into_iter().map(|value| value as f32).inspect(|value| assert!(value.is_finite())).collect()
}

/// The loss, all gradients by name, and the bytes that a step saves at most, with the parameters of `other`.
fn step(
    model: &Model,
    other: &Model,
    (inputs, labels): &(Inputs, Tensor),
) -> (f32, BTreeMap<String, Vec<f32>>, usize) {
    model.parameters().set(&other.parameters().tensors().unwrap()).unwrap();
    let ledger = Ledger::new();
    let (loss, store) = gradients(model.parameters(), |pass: &Pass| {
        let pass = pass.clone().with_ledger(&ledger);
        model.loss(&model.logits(inputs, &pass)?, labels)
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
fn gradients_are_those_in_the_activations_type_and_have_that_of_the_parameters() {
    let efficientnet = EfficientnetB0 { width: 2, ..EfficientnetB0::default() };
    let vit = Vit { width: 16, depth: 2, heads: 2, patch: 8, ..Vit::default() };
    let swin = Swin { width: 8, depths: vec![2, 2], heads: 2, window: 3, ..Swin::default() };
    let mixer = Mixer { width: 8, depth: 2, ..Mixer::default() };
    let resnet = ModelSpec::new(Resnet18 { width: 4, ..Resnet18::default() });
    let of_images = |spec: ModelSpec| (spec.for_images(3, SIDE, CLASSES).unwrap(), images());
    let gpt = Gpt { width: 8, depth: 1, heads: 2, context: 4, dropout: 0.0, ..Gpt::default() };
    let gpt = ModelSpec::new(gpt).for_text(CLASSES).unwrap();
    let bert = Bert { width: 8, depth: 1, heads: 2, context: 4, dropout: 0.0, ..Bert::default() };
    let bert = ModelSpec::new(bert).for_labelled_text(5, 4).unwrap();
    let usual = Transformer::default();
    let transformer = Transformer { width: 8, depth: 1, heads: 2, dropout: 0.0, ..usual };
    let transformer = ModelSpec::new(transformer).for_sequences(5, CLASSES).unwrap();
    for ((spec, batch), plans) in [
        (
            of_images(resnet),
            &["none", "pool2", "q2", "blpa:4", "hosvd:0.8", "checkpoint=block", "last=2"][..],
        ),
        (of_images(ModelSpec::new(efficientnet)), &["none", "q4"]),
        (
            of_images(ModelSpec::new(vit)),
            &["none", "mesa", "msnorm", "scores=recompute", "asa4", "bias=all"],
        ),
        (of_images(ModelSpec::new(swin)), &["none", "q2"]),
        (of_images(ModelSpec::new(mixer)), &["none", "fp8:e5m2"]),
        ((gpt, text()), &["none", "q2"]),
        ((bert, texts()), &["none", "mesa"]),
        ((transformer, pairs()), &["none", "q4"]),
    ] {
        for plan in plans {
            let planned = |dtype| {
                let plan = Plan::parse(plan).unwrap();
                Model::planned(&spec, &plan, 7, dtype, &Device::Cpu).unwrap()
            };
            let narrow = planned(DType::F32);
            let wide = planned(DType::F64).with_activations(DType::F32);
            let (expected, found) = (step(&narrow, &narrow, &batch), step(&wide, &narrow, &batch));
            assert_eq!(found.0, expected.0, "{}, {plan}: the loss", spec.name());
            assert_eq!(found.2, expected.2, "{}, {plan}: what is saved", spec.name());
            for (name, gradient) in &expected.1 {
                let largest = gradient.iter().fold(0.0, |top: f32, g| top.max(g.abs()));
                let close = |(a, b): (&f32, &f32)| (a - b).abs() <= f32::EPSILON * largest;
                let same = found.1[name].iter().zip(gradient).all(close);
                assert!(same, "{}, {plan}: {name}", spec.name());
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
    let (inputs, labels) = images();
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
