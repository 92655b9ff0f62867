//! ResNet-18 gives PyTorch's loss and gradients, exact and pooled, where `PACKLIGHT_FIXTURES`
//! points to the folder of its answers.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use packlight_autograd::{Activation, Pass};
use packlight_nn::model::{Architecture, Model, ModelSpec};
use packlight_nn::{Module, Plan, weights};

const TOLERANCE: f64 = 1e-4;

#[test]
fn resnet18_agrees_with_pytorch() {
    let Some(folder) = std::env::var_os("PACKLIGHT_FIXTURES") else {
        return println!("skipped: PACKLIGHT_FIXTURES is not set");
    };
    let path = Path::new(&folder).join("resnet18-w8-noise32.safetensors");
    let fixture = weights::read(&path, &Device::Cpu).unwrap();
    let spec = ModelSpec { width: Some(8), ..ModelSpec::new(Architecture::Resnet18) };
    let spec = spec.for_images(3, 32, 10).unwrap();
    let model = Model::new(&spec, 1, DType::F32, &Device::Cpu).unwrap();
    set_parameters(&model, &fixture);

    for (plan, method) in [("none", "exact"), ("pool2", "pool2"), ("pool4", "pool4")] {
        Plan::parse(plan).unwrap().apply(model.layers()).unwrap();
        let images = Activation::from_tensor(&fixture["input"], &Pass::training()).unwrap();
        let logits = model.forward(&images).unwrap();
        assert_agrees("logits", logits.data(), &fixture["logits"]);
        let loss = model.loss(&logits, &fixture["labels"]).unwrap().into_tensor().unwrap();
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
