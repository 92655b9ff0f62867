//! What cannot train is refused before anything is timed or changed.

#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use common::{options, study};
use packlight_record::layout::{RUNS, STUDY};
use packlight_study::{
    Collection, Event, Options, Progress, Silent, measure_sensitivity, run_collection, run_study,
};

fn text(model: &str, data: &str, plan: &str) -> String {
    format!(
        r#"
name = "tiny"
title = "A study for tests"
seeds = [0]
epochs = 1
batch = 4

[model]
{model}

[data]
{data}
train_limit = 10
test_limit = 4

[plans]
none = "none"
wrong = "{plan}"

[optimizer]
name = "sgd"
learning_rate = 0.1
"#
    )
}

const RESNET: &str = "name = \"resnet18\"\nwidth = 2";
const DIGITS: &str = "name = \"digits\"\nsize = 8";
const TRANSFORMER: &str = "name = \"transformer\"\nwidth = 8\ndepth = 1\nheads = 2";
const REVERSE: &str = "name = \"reverse\"";

/// Fails the test where anything is timed.
struct NothingTimed;

impl Progress for NothingTimed {
    fn event(&mut self, event: Event<'_>) {
        assert!(matches!(event, Event::Checking { .. }), "{event:?}");
    }
}

fn refused(dir: &Path, overwrite: bool) -> String {
    let interrupted = AtomicBool::new(false);
    let options = Options { overwrite, ..options(&interrupted) };
    let error = match Collection::read(dir, None).unwrap() {
        None => run_study(dir, &options, &mut NothingTimed).map(drop).unwrap_err(),
        Some(several) => {
            run_collection(dir, several, &options, &mut NothingTimed).map(drop).unwrap_err()
        }
    };
    error.to_string()
}

#[test]
fn a_plan_that_cannot_pack_is_refused_before_anything_is_timed() {
    for (model, data, plan, words) in [
        (RESNET, DIGITS, "asi:2x3", &["`conv1`", "`asi:2x3`", "`conv1=none`"][..]),
        (RESNET, DIGITS, "linear=gf2", &["`fc`", "`gf2`", "`fc=none`"]),
        (RESNET, DIGITS, "norm=velora:4", &["`bn1`", "`velora:4`", "`bn1=none`"]),
        (RESNET, DIGITS, "asi:0.0001MiB", &["MiB at least; allow more"]),
        (TRANSFORMER, REVERSE, "velora:3", &["3 parts", "=none`"]),
        (TRANSFORMER, REVERSE, "activation=resilu2", &["pointwise_net.act", "`regelu2`"]),
    ] {
        let dir = study(&text(model, data, plan));
        let said = refused(dir.path(), false);
        for word in [&["plan wrong of the study, on a batch of 4: "], words].concat() {
            assert!(said.contains(word), "{plan}: `{word}` is missing in: {said}");
        }
        assert!(!dir.path().join(RUNS).exists());
    }
}

#[test]
fn what_cannot_be_measured_is_refused_before_anything_is_timed() {
    let small = text("name = \"mlp\"\nhidden = [8]", DIGITS, "q2");
    for (table, words) in [
        ("layers = [\"typo\"]", "sensitivity.layers: `typo` fits no layer that saves its input"),
        ("points = [\"start\", 0.01]", "sensitivity.points: start and 1 % are both after step 0"),
    ] {
        let dir = study(&format!("{small}\n[sensitivity]\ncodecs = [\"q4\"]\n{table}\n"));
        let said = refused(dir.path(), false);
        assert!(said.contains(words), "`{words}`: {said}");
        assert!(!dir.path().join(RUNS).exists());
    }
    // What was measured of another study is not mixed in; it may be measured anew.
    let dir = study(&format!("{small}\n[sensitivity]\ncodecs = [\"q4\"]\nbatches = 1\n"));
    let interrupted = AtomicBool::new(false);
    measure_sensitivity(dir.path(), &options(&interrupted), &mut Silent).unwrap();
    let path = dir.path().join(STUDY);
    let changed = std::fs::read_to_string(&path).unwrap().replace("batch = 4", "batch = 5");
    std::fs::write(&path, changed).unwrap();
    let said = refused(dir.path(), false);
    let anew = format!("packlight sensitivity {} --overwrite", dir.path().display());
    for words in ["the study changed since this was measured (batch: 4 then, 5 now)", &anew] {
        assert!(said.contains(words), "`{words}`: {said}");
    }
    assert!(!dir.path().join(RUNS).exists());
    let options = Options { overwrite: true, ..options(&interrupted) };
    run_study(dir.path(), &options, &mut Silent).unwrap();
}

#[test]
fn steps_of_the_probe_that_show_nothing_are_warned_of() {
    struct Warnings(Vec<String>);
    impl Progress for Warnings {
        fn event(&mut self, event: Event<'_>) {
            if let Event::Warning { text } = event {
                self.0.push(text.to_owned());
            }
        }
    }
    let small = text("name = \"mlp\"\nhidden = [8]", DIGITS, "q2");
    for (steps, words) in [
        ("[1000000]", "plan `none`: probe.steps: 1000000 is behind the last step, 2"),
        ("[0, 1, 2]", "plan `none`: probe.steps: no step is left that is not probed"),
    ] {
        let dir = study(&format!("{small}\n[probe]\nsteps = {steps}\n"));
        let mut warnings = Warnings(Vec::new());
        let interrupted = AtomicBool::new(false);
        run_study(dir.path(), &options(&interrupted), &mut warnings).unwrap();
        assert!(warnings.0.iter().any(|text| text.contains(words)), "{:?}", warnings.0);
    }
}

#[test]
fn all_studies_of_a_collection_are_checked_before_one_is_timed_or_changed() {
    let dir = study("title = \"Two\"\nstudies = [\"good\", \"bad\"]");
    for (name, plan) in [("good", "pool2"), ("bad", "asi:2x3")] {
        std::fs::create_dir_all(dir.path().join(name).join(RUNS).join("none-seed0")).unwrap();
        std::fs::write(dir.path().join(name).join(STUDY), text(RESNET, DIGITS, plan)).unwrap();
    }
    let said = refused(dir.path(), true);
    assert!(said.contains("study bad of the collection: plan wrong of the study"), "{said}");
    for name in ["good", "bad"] {
        assert!(dir.path().join(name).join(RUNS).join("none-seed0").exists(), "{name}");
    }
}

#[test]
fn a_last_batch_of_one_sample_that_a_batch_norm_refuses_can_be_left_out() {
    let text = text(RESNET, DIGITS, "pool2").replace("train_limit = 10", "train_limit = 9");
    let said = refused(study(&text).path(), false);
    for words in [
        "plan none of the study, on a batch of 1: ",
        "layer `layer4.0.bn1`: more than one value a channel expected in training",
        "[1, 16, 1, 1]",
        "this is an epoch's last batch, which `drop_last = true` leaves out",
    ] {
        assert!(said.contains(words), "`{words}` is missing in: {said}");
    }
    let dir = study(&text.replace("batch = 4", "batch = 4\ndrop_last = true"));
    let interrupted = AtomicBool::new(false);
    let summary = run_study(dir.path(), &options(&interrupted), &mut Silent).unwrap();
    assert!(!summary.any_failed(), "{summary:?}");
}

#[test]
fn a_batch_larger_than_the_data_is_refused() {
    for key in ["", "\ndrop_last = true"] {
        let text = text(RESNET, DIGITS, "pool2").replace("batch = 4", &format!("batch = 11{key}"));
        let said = refused(study(&text).path(), false);
        let expected = "study.toml: batch: 11 given, and digits has 10 training samples; lower";
        assert!(said.contains(expected), "{said}");
    }
}
