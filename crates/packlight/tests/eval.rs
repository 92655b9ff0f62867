//! `packlight eval` against PyTorch's answer.

#![allow(clippy::unwrap_used)]

mod common;

use common::{RUNS, STUDY, folder_from, json, packlight, run, stderr, study};
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
