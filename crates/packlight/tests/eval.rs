//! `packlight eval` against PyTorch's answer.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use common::{
    RUNS, STUDY, finished_study, folder_from, json, packlight, run, stderr, study, study_of_images,
};
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

/// The accuracy after the last epoch of a run.
fn recorded_accuracy(run: &Path) -> f64 {
    let records = read_log::<Record>(&run.join("records.jsonl")).unwrap().values;
    let accuracy = records.iter().rev().find_map(|record| match record {
        Record::Epoch { test_accuracy, .. } => Some(*test_accuracy),
        _ => None,
    });
    accuracy.unwrap()
}

#[test]
fn the_weights_of_a_run_are_enough_to_get_the_accuracy_that_its_records_say() {
    let dir = study(&STUDY.replace("layer1.*=none,default=pool4", "swat:0.2"));
    let done = run(dir.path());
    assert!(done.status.success(), "{}", stderr(&done));
    for (run, plan) in RUNS.iter().zip(["pool2", "swat:0.2"]) {
        let folder = dir.path().join("runs").join(run);
        let moved = tempfile::tempdir().unwrap().keep().join("moved.safetensors");
        std::fs::copy(folder.join("weights.safetensors"), &moved).unwrap();
        let of_run = packlight(["eval", "--json", "--run"]).arg(&folder).output().unwrap();
        let of_file = packlight(["eval", "--json", "--weights"]).arg(&moved).output().unwrap();
        let with_flags = packlight(["eval", "--model", "resnet18", "--width", "4", "--size", "16"])
            .args(["--data", "mnist or digits", "--normalise", "data", "--batch", "7", "--json"])
            .args(["--plan", plan, "--weights"])
            .arg(&moved)
            .output()
            .unwrap();
        for output in [of_run, of_file, with_flags] {
            let found = json(&output);
            assert_eq!(found["total"], 40, "the test images that the study took");
            assert_eq!(found["accuracy"].as_f64(), Some(recorded_accuracy(&folder)), "{run}");
        }
        std::fs::remove_dir_all(moved.parent().unwrap()).unwrap();
    }
}

#[test]
fn a_flag_that_contradicts_the_weights_is_an_error_that_names_both() {
    let dir = finished_study();
    let folder = dir.path().join("runs").join(RUNS[0]);
    for (flags, words) in [
        (&["--model", "mlp"][..], &["--model mlp contradicts", "which says model resnet18"][..]),
        (&["--width", "8"], &["--width 8 contradicts", "which says width 4"]),
        (&["--stem", "imagenet"], &["--stem imagenet contradicts", "stem cifar"]),
        (&["--plan", "pool4"], &["--plan pool4 contradicts", "plan pool2"]),
        (&["--size", "32"], &["--size 32 contradicts", "size 16"]),
        (&["--length", "64"], &["--length 64 contradicts", "data digits, which has no length"]),
        (&["--data", "mnist or cifar-10"], &["contradicts", "data digits"]),
        (&["--data", "mnist"], &["--data mnist contradicts", "data digits"]),
        (&["--normalise", "imagenet"], &["digits is grey"]),
        (&["--heads", "2"], &["heads", "resnet18 has no such option"]),
        (&["--width", "wide"], &["--width wide: a whole number expected"]),
    ] {
        let output = packlight(["eval", "--run"]).arg(&folder).args(flags).output().unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{flags:?}: {said}");
        words.iter().for_each(|word| assert!(said.contains(word), "{flags:?}: {said}"));
    }
}

const TEXT: &str = r#"
name = "text"
title = "Text"
seeds = [0]
epochs = 1
batch = 16

[model]
name = "gpt"
width = 8
depth = 1
heads = 2
context = 16

[data]
name = "text:words.txt"
length = 8

[plans]
none = "none"

[optimizer]
name = "adamw"
learning_rate = 0.01
"#;

#[test]
fn a_text_is_cut_as_the_weights_or_the_flag_say() {
    let dir = study(TEXT);
    let words = dir.path().join("words.txt");
    std::fs::write(&words, "the quick brown fox jumps over the lazy dog. ".repeat(20)).unwrap();
    let done = run(dir.path());
    assert!(done.status.success(), "{}", stderr(&done));
    let folder = dir.path().join("runs/none-seed0");
    let of_run = |more: &[&str]| {
        packlight(["eval", "--json", "--run"]).arg(&folder).args(more).output().unwrap()
    };
    let recorded = json(&of_run(&[]));
    assert_eq!(recorded["total"], 88, "11 samples of 8 tokens in the last tenth");
    assert_eq!(json(&of_run(&["--length", "8"])), recorded);
    let said = stderr(&of_run(&["--length", "4"]));
    assert!(said.contains("--length 4 contradicts") && said.contains("says length 8"), "{said}");
    let said = stderr(&of_run(&["--size", "32"]));
    assert!(said.contains("--size 32 contradicts") && said.contains("which has no size"), "{said}");

    // Weights that do not say what they are.
    let file = dir.path().join("plain.safetensors");
    let tensors = candle_core::safetensors::load(folder.join("weights.safetensors"), &Device::Cpu);
    weights::write(&file, &tensors.unwrap().into_iter().collect()).unwrap();
    let given = |length: &[&str]| {
        packlight(["eval", "--model", "gpt", "--width", "8", "--depth", "1", "--heads", "2"])
            .args(["--context", "16", "--json", "--weights"])
            .arg(&file)
            .arg("--data")
            .arg(format!("text:{}", words.display()))
            .args(length)
            .output()
            .unwrap()
    };
    assert_eq!(json(&given(&["--length", "8"])), recorded);
    // A loss whose exponential no number can hold.
    let tensors = candle_core::safetensors::load(&file, &Device::Cpu).unwrap();
    let wild = tensors.into_iter().map(|(name, tensor)| match name.ends_with("ln_f.weight") {
        true => (name, (tensor * 1e6).unwrap()),
        false => (name, tensor),
    });
    weights::write(&file, &wild.collect()).unwrap();
    let output = given(&["--length", "8"]);
    let found = json(&output);
    assert!(found["loss"].as_f64().unwrap() > 1000.0 && found.get("perplexity").is_none());
    assert!(stderr(&output).contains("is beyond the largest number"), "{}", stderr(&output));
    let said = stderr(&given(&[]));
    assert!(said.contains("data.length: 128 given, expected less than the 90"), "{said}");
}

#[test]
fn images_that_have_changed_are_refused_unless_they_are_asked_for() {
    let dir = study_of_images();
    let done = run(dir.path());
    assert!(done.status.success(), "{}", stderr(&done));
    let eval = |more: &[&str]| {
        let mut command = packlight(["eval", "--json", "--run"]);
        command.arg(dir.path().join("runs").join(RUNS[0])).args(more).output().unwrap()
    };
    assert_eq!(json(&eval(&[]))["total"], 8);
    let said = stderr(&eval(&["--normalise", "imagenet"]));
    assert!(said.contains("--normalise imagenet contradicts") && said.contains("mean ["), "{said}");
    let images = dir.path().join("images");
    std::fs::remove_file(images.join("test/black/4.png")).unwrap();
    let output = eval(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("--data folder:PATH"), "{}", stderr(&output));
    assert_eq!(json(&eval(&["--data", &format!("folder:{}", images.display())]))["total"], 7);
}

#[test]
fn weights_of_another_program_need_flags_and_a_run_has_to_be_finished() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("weights.safetensors");
    weights::write(&file, &BTreeMap::new()).unwrap();
    let output = packlight(["eval", "--weights"]).arg(&file).output().unwrap();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("give --model with its options and --data"), "{said}");
    std::fs::remove_file(&file).unwrap();
    let refused = |flag: &str, words: &str| {
        let output = packlight(["eval", flag]).arg(dir.path()).output().unwrap();
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
    };
    refused("--run", "holds no weights.safetensors; give a run that has finished");
    refused("--weights", "is a folder; give a file, or --run ");
    std::fs::write(dir.path().join("study.toml"), STUDY).unwrap();
    refused("--run", "is a study; give one of its runs, such as ");
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
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("weights.safetensors");
    weights::write(&file, &BTreeMap::new()).unwrap();
    let output = packlight(["eval", "--model", "mlp", "--data", "digits"])
        .arg("--weights")
        .arg(&file)
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
