//! ResNet-18 gives PyTorch's loss and gradients, exact and compressed, where `PACKLIGHT_FIXTURES`
//! points to the folder of its answers.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use packlight_autograd::{Activation, Pass};
use packlight_nn::model::{Model, ModelSpec, Resnet18};
use packlight_nn::{Module, Plan, weights};
use packlight_record::LayerKind;

const TOLERANCE: f64 = 1e-4;

/// The model with the fixture's parameters, and the fixture.
fn resnet18() -> Option<(Model, BTreeMap<String, Tensor>)> {
    let Some(folder) = std::env::var_os("PACKLIGHT_FIXTURES") else {
        println!("skipped: PACKLIGHT_FIXTURES is not set");
        return None;
    };
    let path = Path::new(&folder).join("resnet18-w8-noise32.safetensors");
    let fixture = weights::read(&path, &Device::Cpu).unwrap();
    let spec = ModelSpec::new(Resnet18 { width: 8, ..Resnet18::default() });
    let spec = spec.for_images(3, 32, 10).unwrap();
    let model = Model::new(&spec, 1, DType::F32, &Device::Cpu).unwrap();
    set_parameters(&model, &fixture);
    Some((model, fixture))
}

#[test]
fn resnet18_agrees_with_pytorch() {
    let Some((model, fixture)) = resnet18() else { return };
    for (plan, method) in [
        ("none", "exact"),
        ("pool2", "pool2"),
        ("pool4", "pool4"),
        ("svd:0.8", "svd80"),
        ("hosvd:0.8", "hosvd80"),
        ("hosvd:0.9", "hosvd90"),
    ] {
        Plan::parse(plan).unwrap().apply(model.save_points()).unwrap();
        let images = Activation::from_tensor(&fixture["input"], &Pass::training()).unwrap();
        let logits = model.forward(&images).unwrap();
        assert_agrees("logits", logits.data(), &fixture["logits"]);
        let loss = model.loss(&logits, &fixture["labels"]).unwrap();
        assert_agrees("loss", &loss, &fixture["loss"]);
        let gradients = loss.backward().unwrap();
        let mut compressed = 0;
        for (name, var) in model.parameters().named() {
            // The fixture has a method's gradient where it differs from the exact one.
            let expected = match fixture.get(&format!("grad.{method}.{name}")) {
                Some(expected) => {
                    compressed += usize::from(method != "exact");
                    expected
                }
                None => &fixture[&format!("grad.exact.{name}")],
            };
            assert_agrees(&format!("{plan}: {name}"), gradients.get(var).unwrap(), expected);
        }
        assert_eq!(compressed, if method == "exact" { 0 } else { 20 });
    }
}

/// The gradients under `plan` of the parameters for which the fixture has one of `method`.
fn assert_gradients_agree(
    model: &Model,
    fixture: &BTreeMap<String, Tensor>,
    plan: &str,
    method: &str,
    which: &str,
) -> usize {
    Plan::parse(plan).unwrap().apply(model.save_points()).unwrap();
    let images = Activation::from_tensor(&fixture["input"], &Pass::training()).unwrap();
    let logits = model.forward(&images).unwrap();
    let loss = model.loss(&logits, &fixture["labels"]).unwrap();
    assert_agrees("loss", &loss, &fixture["loss"]);
    let gradients = loss.backward().unwrap();
    let mut compared = 0;
    for (name, var) in model.parameters().named().filter(|(name, _)| name.starts_with(which)) {
        if let Some(expected) = fixture.get(&format!("grad.{method}.{name}")) {
            assert_agrees(&format!("{plan}: {name}"), gradients.get(var).unwrap(), expected);
            compared += 1;
        }
    }
    compared
}

#[test]
fn gradient_filter_agrees_with_pytorch() {
    let Some((model, fixture)) = resnet18() else { return };
    let plan = "gf2:paper";
    assert_eq!(assert_gradients_agree(&model, &fixture, plan, "gf2_full", ""), 20);
    // One layer at a time, from the exact gradient of its output.
    let layers = model.save_points().iter().filter(|layer| layer.kind() == LayerKind::Conv);
    let names: Vec<String> = layers.map(|layer| layer.name().to_owned()).collect();
    let compared = names.iter().map(|name| {
        let plan = format!("{name}={plan}");
        assert_gradients_agree(&model, &fixture, &plan, "gf2_iso", &format!("{name}.weight"))
    });
    assert_eq!(compared.sum::<usize>(), 20);
}

fn set_parameters(model: &Model, fixture: &BTreeMap<String, Tensor>) {
    let mut tensors = model.parameters().tensors().unwrap(); // the buffers stay as they are
    for (name, _) in model.parameters().named() {
        tensors.insert(name.to_owned(), fixture[&format!("param.{name}")].clone());
    }
    model.parameters().set(&tensors).unwrap();
}

fn assert_agrees(what: &str, found: &Tensor, expected: &Tensor) {
    let flat = |t: &Tensor| t.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
    let (found, expected) = (flat(found).unwrap(), flat(expected).unwrap());
    assert_eq!(found.len(), expected.len(), "{what}");
    let difference: f64 = found.iter().zip(&expected).map(|(a, b)| (a - b).powi(2)).sum();
    let norm: f64 = expected.iter().map(|b| b * b).sum();
    let error = (difference / norm).sqrt();
    assert!(error < TOLERANCE, "{what}: relative error {error:e}");
}
