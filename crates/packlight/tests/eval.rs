//! `packlight eval` against PyTorch's answer.

#![allow(clippy::unwrap_used)]

mod common;

use common::{folder_from, json, packlight, stderr};

#[test]
fn resnet20_gets_as_many_right_as_in_pytorch() {
    let Some(data) = folder_from("PACKLIGHT_DATA") else { return };
    let output = packlight(["eval", "--model", "resnet20", "--data", "cifar-10", "--json"])
        .arg("--weights")
        .arg(data.join("resnet20-cifar10/resnet20.safetensors"))
        .output()
        .unwrap();
    let found = json(&output);
    let correct = found["correct"].as_i64().unwrap();
    assert!((correct - 1627).abs() <= 2, "{correct} correct");
    assert_eq!(found["total"], 2000);
    assert!((found["accuracy"].as_f64().unwrap() - correct as f64 / 2000.0).abs() < 1e-12);
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
