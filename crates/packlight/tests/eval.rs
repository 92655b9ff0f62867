//! `packlight eval` against PyTorch's answer.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use common::{RUNS, STUDY, folder_from, json, packlight, run, stderr, study};
use packlight::nn::model::Resnet18;
use packlight::nn::{Model, ModelSpec, weights};
use packlight::record::{Record, read_log};

const WEIGHTS: &str = "resnet20-cifar10/resnet20.safetensors";

#[test]
fn resnet20_gets_as_many_right_as_in_pytorch() {
    let Some(data) = folder_from("PACKLIGHT_DATA", &[WEIGHTS, "cifar-10"]) else { return };
    let output = packlight(["eval", "--model", "resnet20", "--data", "cifar-10", "--json"])
        .arg("--weights")
        .arg(data.join(WEIGHTS))
        .output()
        .unwrap();
    let found = json(&output);
    let correct = found["correct"].as_i64().unwrap();
    assert!((correct - 1627).abs() <= 2, "{correct} correct");
    assert_eq!(found["total"], 2000);
    assert!((found["accuracy"].as_f64().unwrap() - correct as f64 / 2000.0).abs() < 1e-12);
}

#[test]
fn the_weights_of_a_run_get_the_accuracy_that_its_records_say() {
    let text = STUDY.replace("train_limit = 120\ntest_limit = 40\n", "");
    let text = text.replace("epochs = 3\nbatch = 32", "epochs = 2\nbatch = 128");
    let dir = study(&text.replace("layer1.*=none,default=pool4", "swat:0.2"));
    let done = run(dir.path());
    assert!(done.status.success(), "{}", stderr(&done));
    for (run, plan) in RUNS.iter().zip(["none", "swat:0.2"]) {
        let folder = dir.path().join("runs").join(run);
        let records = read_log::<Record>(&folder.join("records.jsonl")).unwrap().values;
        let recorded = records.iter().rev().find_map(|record| match record {
            Record::Epoch { test_accuracy, .. } => Some(*test_accuracy),
            _ => None,
        });
        let output = packlight(["eval", "--model", "resnet18", "--width", "4", "--size", "16"])
            .args(["--data", "digits", "--normalise", "data", "--batch", "128", "--json"])
            .args(["--plan", plan, "--weights"])
            .arg(folder.join("weights.safetensors"))
            .output()
            .unwrap();
        let found = json(&output);
        assert_eq!(found["accuracy"].as_f64(), recorded, "{run}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let output = packlight(["eval", "--model", "mlp", "--data", "digits", "--normalise", "data"])
        .args(["--weights", "no-such-file.safetensors"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no-such-file.safetensors"), "{}", stderr(&output));
}

#[test]
fn grey_images_under_imagenet_s_normalisation_are_told_what_fits_them() {
    let output = packlight(["eval", "--model", "mlp", "--data", "digits"])
        .args(["--weights", "no-such-file.safetensors"])
        .output()
        .unwrap();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("digits is grey") && said.contains("`--normalise data`"), "{said}");
}

/// What `eval` says of a ResNet-18 of width 4 whose weights were changed, which must be an error.
fn refused(change: impl Fn(&mut BTreeMap<String, Tensor>)) -> String {
    let spec = ModelSpec::new(Resnet18 { width: 4, ..Resnet18::default() });
    let spec = spec.for_images(1, 16, 10).unwrap();
    let model = Model::new(&spec, 1, DType::F32, &Device::Cpu).unwrap();
    let mut tensors = model.parameters().tensors().unwrap();
    change(&mut tensors);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("weights.safetensors");
    weights::write(&file, &tensors).unwrap();
    let output = packlight(["eval", "--model", "resnet18", "--width", "4", "--size", "16"])
        .args(["--data", "digits", "--normalise", "data", "--batch", "50", "--json", "--weights"])
        .arg(file)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(output.stdout.is_empty());
    stderr(&output)
}

#[test]
fn weights_that_can_never_be_right_and_answers_that_overflow_are_errors() {
    let filled = |tensor: &Tensor, value: f64| (tensor.zeros_like().unwrap() + value).unwrap();
    let said = refused(|tensors| {
        let variance = filled(&tensors["layer1.0.bn2.running_var"], -0.5);
        tensors.insert("layer1.0.bn2.running_var".into(), variance);
    });
    assert!(said.contains("`layer1.0.bn2.running_var` holds -0.5 at [0]"), "{said}");
    let said = refused(|tensors| {
        let weight = filled(&tensors["fc.weight"], 3e38);
        tensors.insert("fc.weight".into(), weight);
        let weight = filled(&tensors["layer4.1.bn2.bias"], 1e3);
        tensors.insert("layer4.1.bn2.bias".into(), weight);
    });
    assert!(said.contains("the logits of test samples 0 to 49 are not finite"), "{said}");
}
