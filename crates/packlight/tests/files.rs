//! How files are written: through links and devices, several at once, and not at all where they
//! cannot be.

#![allow(clippy::unwrap_used)]
#![cfg(unix)]

mod common;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::Path;
use std::process::Stdio;

use candle_core::{DType, Device, Tensor};
use common::{RUNS, STUDY, finished_study, json, packlight, records, run, stderr};
use packlight::nn::model::Mlp;
use packlight::nn::{Model, ModelSpec, weights};

/// A batch for a small multilayer perceptron, with its parameters.
fn batch(path: &Path) {
    let spec = ModelSpec::new(Mlp { hidden: vec![4] });
    let model =
        Model::new(&spec.for_images(1, 4, 3).unwrap(), 0, DType::F32, &Device::Cpu).unwrap();
    let mut tensors: BTreeMap<String, Tensor> = BTreeMap::new();
    for (name, var) in model.parameters().named() {
        tensors.insert(format!("param.{name}"), var.as_tensor().clone());
    }
    tensors.insert("input".into(), Tensor::ones((2, 1, 4, 4), DType::F32, &Device::Cpu).unwrap());
    tensors.insert("labels".into(), Tensor::new(&[0i64, 2], &Device::Cpu).unwrap());
    weights::write(path, &tensors).unwrap();
}

fn grads(input: &Path, output: &Path) -> std::process::Output {
    let mut command = packlight(["grads", "--model", "mlp", "--hidden", "4"]);
    command.arg("--input").arg(input).arg("--output").arg(output).output().unwrap()
}

#[test]
fn gradients_go_through_links_and_to_devices() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    batch(&at("batch"));
    assert!(grads(&at("batch"), &at("plain")).status.success());
    std::fs::create_dir(at("folder")).unwrap();
    symlink("folder/target", at("link")).unwrap();
    assert!(grads(&at("batch"), &at("link")).status.success());
    assert!(at("link").is_symlink());
    let plain = std::fs::read(at("plain")).unwrap();
    assert_eq!(std::fs::read(at("folder/target")).unwrap(), plain);

    assert!(grads(&at("batch"), Path::new("/dev/null")).status.success());
    let null = std::fs::metadata("/dev/null").unwrap().file_type();
    assert!(null.is_char_device(), "/dev/null is a device still");
    if Path::new("/dev/full").exists() {
        let output = grads(&at("batch"), Path::new("/dev/full"));
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("/dev/full: No space left"), "{}", stderr(&output));
    }
    let output = grads(&at("batch"), &at("folder"));
    assert_eq!(output.status.code(), Some(1), "a folder is no file");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 4, "nothing else is left");
}

#[test]
fn several_reports_at_once_all_succeed() {
    let dir = finished_study();
    let reports: Vec<_> = (0..4)
        .map(|_| {
            let mut report = packlight(["report"]);
            report.arg(dir.path()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for report in reports {
        let output = report.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    }
    for folder in ["", "figures", "tables"] {
        for entry in std::fs::read_dir(dir.path().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(!name.ends_with(".tmp"), "{name}");
        }
    }
}

#[test]
fn what_a_killed_process_left_half_written_goes_when_the_run_goes_on() {
    let dir = finished_study();
    let folder = dir.path().join("runs").join(RUNS[0]);
    let manifest = folder.join("manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace("\"finished\"", "\"unfinished\"")).unwrap();
    let half = folder.join(".packlight-f83kdu.tmp");
    std::fs::write(&half, "half").unwrap();
    let expected = records(dir.path());
    assert!(run(dir.path()).status.success());
    assert!(!half.exists());
    assert!(records(dir.path()) == expected);
}

#[test]
fn a_report_that_cannot_be_written_says_where_and_leaves_nothing() {
    let dir = finished_study();
    std::fs::write(dir.path().join("figures"), "a file in the way").unwrap();
    let output = packlight(["report"]).arg(dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("figures: "), "{}", stderr(&output));
    assert!(!dir.path().join("index.html").exists());
}

#[test]
fn folders_whose_names_are_no_unicode_are_as_good_as_others() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join(OsStr::from_bytes(b"stud\xff"));
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("study.toml"), STUDY).unwrap();
    assert!(run(&dir).status.success());
    let summary = json(&packlight(["report", "--json"]).arg(&dir).output().unwrap());
    assert_eq!(summary["finished"], 2);
    assert!(summary["page"].as_str().unwrap().ends_with("stud\u{fffd}/index.html"));
    let copy = dir.join("runs/copy");
    std::fs::create_dir(&copy).unwrap();
    std::fs::copy(dir.join("runs/pool2-seed7/manifest.json"), copy.join("manifest.json")).unwrap();
    let output = packlight(["report"]).arg(&dir).output().unwrap();
    assert!(
        stderr(&output).contains("runs/copy: study.toml asks for no run"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_run_whose_manifest_cannot_be_looked_at_is_left_as_it_is() {
    let dir = finished_study();
    let before = records(dir.path());
    let manifest = dir.path().join("runs").join(RUNS[0]).join("manifest.json");
    std::fs::remove_file(&manifest).unwrap();
    symlink("manifest.json", &manifest).unwrap(); // which leads round in a circle
    let output = run(dir.path());
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("manifest.json: "), "{}", stderr(&output));
    assert!(records(dir.path()) == before);
}
