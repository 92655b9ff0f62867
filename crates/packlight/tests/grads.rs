//! `packlight grads` against PyTorch's answers, and what it refuses.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;

use candle_core::{DType, Device, Tensor};
use common::{folder_from, json, packlight, stderr};
use packlight::nn::weights;

const FIXTURE: &str = "resnet18-w8-noise32.safetensors";
/// PyTorch's own f32 is within 3e-5 of f64 on these tensors.
const TOLERANCE: f64 = 1e-4;

fn grads(input: &Path, plan: &str, output: &Path) -> Output {
    packlight(["grads", "--model", "resnet18", "--stem", "cifar", "--width", "8", "--json"])
        .args(["--plan", plan, "--input"])
        .arg(input)
        .arg("--output")
        .arg(output)
        .output()
        .unwrap()
}

fn read(path: &Path) -> BTreeMap<String, Tensor> {
    weights::read(path, &Device::Cpu).unwrap()
}

fn relative_error(expected: &Tensor, found: &Tensor) -> f64 {
    assert_eq!(expected.dims(), found.dims());
    let values = |t: &Tensor| {
        t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap()
    };
    let (expected, found) = (values(expected), values(found));
    let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|v| v * v).sum::<f64>().sqrt();
    norm(&mut expected.iter().zip(&found).map(|(e, f)| e - f)) / norm(&mut expected.iter().copied())
}

#[test]
fn agrees_with_pytorch_for_every_parameter_and_every_plan() {
    let Some(fixtures) = folder_from("PACKLIGHT_FIXTURES") else { return };
    let fixture = fixtures.join(FIXTURE);
    let expected = read(&fixture);
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out.safetensors");
    for (plan, method) in [
        ("none", "none"),
        ("pool2", "pool2"),
        ("pool4", "pool4"),
        ("svd:0.8", "svd80"),
        ("hosvd:0.8", "hosvd80"),
        ("hosvd:0.9", "hosvd90"),
    ] {
        let summary = json(&grads(&fixture, plan, &output));
        assert_eq!(summary["gradients"], 62);
        let found = read(&output);
        assert_eq!(found.len(), 63);
        assert_eq!(found["loss"].dims(), [1]);
        assert!(relative_error(&expected["loss"], &found["loss"]) < 1e-6);
        for (name, gradient) in &found {
            let Some(name) = name.strip_prefix("grad.") else { continue };
            // What a codec does not touch has its exact gradient under every plan.
            let answer = expected
                .get(&format!("grad.{method}.{name}"))
                .unwrap_or_else(|| &expected[&format!("grad.exact.{name}")]);
            let error = relative_error(answer, gradient);
            assert!(error < TOLERANCE, "{plan}: {name}: {error:e}");
        }
    }
}

/// A batch with all parameters of the smallest ResNet-18, changed by `change`.
fn batch(dir: &Path, change: impl Fn(&mut BTreeMap<String, Tensor>)) -> std::path::PathBuf {
    use packlight::nn::model::Architecture;
    use packlight::nn::{Model, ModelSpec};
    let spec = ModelSpec { width: Some(8), ..ModelSpec::new(Architecture::Resnet18) };
    let spec = spec.for_images(3, 8, 4).unwrap();
    let model = Model::new(&spec, 1, DType::F32, &Device::Cpu).unwrap();
    let named = model.parameters().named();
    let mut tensors: BTreeMap<_, _> =
        named.map(|(name, var)| (format!("param.{name}"), var.as_detached_tensor())).collect();
    let images = Tensor::arange(0f32, 384.0, &Device::Cpu).unwrap();
    tensors.insert("input".into(), (images / 384.0).unwrap().reshape((2, 3, 8, 8)).unwrap());
    tensors.insert("labels".into(), Tensor::new(&[0i64, 3], &Device::Cpu).unwrap());
    change(&mut tensors);
    let path = dir.join("in.safetensors");
    weights::write(&path, &tensors).unwrap();
    path
}

#[test]
fn labels_may_be_any_integers() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out.safetensors");
    let mut losses = Vec::new();
    for dtype in [DType::I64, DType::I32, DType::U32, DType::U8] {
        let input = batch(dir.path(), |tensors| {
            let labels = tensors["labels"].to_dtype(dtype).unwrap();
            tensors.insert("labels".into(), labels);
        });
        losses.push(json(&grads(&input, "pool2", &output))["loss"].clone());
    }
    assert!(losses.iter().all(|loss| *loss == losses[0] && loss.as_f64().unwrap() > 0.0));
}

type Change = Box<dyn Fn(&mut BTreeMap<String, Tensor>)>;

#[test]
fn missing_and_misshapen_tensors_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    let labels = |values: &[i64]| Tensor::new(values, &Device::Cpu).unwrap();
    let put = |name: &'static str, tensor: Tensor| {
        move |tensors: &mut BTreeMap<String, Tensor>| {
            tensors.insert(name.into(), tensor.clone());
        }
    };
    let cases: Vec<(Change, &str)> = vec![
        (Box::new(|t| drop(t.remove("input"))), "`input`"),
        (Box::new(|t| drop(t.remove("labels"))), "`labels`"),
        (
            Box::new(|t| drop(t.remove("param.layer2.0.conv1.weight"))),
            "`param.layer2.0.conv1.weight`",
        ),
        (
            Box::new(put("param.bn1.weight", zeros(&[9]))),
            "`param.bn1.weight` has shape [9], expected [8]",
        ),
        (Box::new(put("param.extra", zeros(&[1]))), "`extra`"),
        (Box::new(put("input", zeros(&[2, 3, 8]))), "expected f32 of (N,C,H,W)"),
        (Box::new(put("labels", labels(&[0]))), "expected integers of [2]"),
        (Box::new(put("labels", labels(&[0, 4]))), "holds 4, expected 0 to 3"),
        (Box::new(put("labels", labels(&[0, -1]))), "holds -1, expected 0 to 3"),
        (Box::new(put("labels", zeros(&[2]))), "expected integers of [2]"),
    ];
    for (change, words) in cases {
        let input = batch(dir.path(), change);
        let output = dir.path().join("out.safetensors");
        let result = grads(&input, "none", &output);
        assert_eq!(result.status.code(), Some(1));
        assert!(stderr(&result).contains(words), "`{words}` is missing in: {}", stderr(&result));
        assert!(stderr(&result).contains("in.safetensors"), "{}", stderr(&result));
        assert!(!output.exists());
    }
    let input = batch(dir.path(), |_| ());
    std::fs::write(&input, &std::fs::read(&input).unwrap()[..1000]).unwrap();
    let result = grads(&input, "none", &dir.path().join("out.safetensors"));
    assert!(stderr(&result).contains("not a safetensors file"), "{}", stderr(&result));
}
