//! Adaptive plans in a study: what they record, and that a stop changes nothing.

#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use common::{StopAfter, options, study};
use packlight_nn::weights::File;
use packlight_record::layout::{MEASUREMENTS, RECORDS, RUNS};
use packlight_record::{Measurement, Record, Timings, read_log};
use packlight_study::{Error, Origin, Progress, Silent, WEIGHTS, run_study};

/// Runs of two epochs of three steps, whose last batch is smaller. Of the codecs, mesa remembers.
const TEXT: &str = r#"
name = "tiny"
title = "A study for tests"
seeds = [3]
epochs = 2
batch = 8

[model]
name = "resnet18"
width = 2

[data]
name = "digits"
size = 8
train_limit = 20
test_limit = 4
augment = { pad = 1, flip = true }

[plans]
moving = { adaptive = { every = "2 steps", budget = "0.5x", codecs = ["mesa", "q2", "pool2"], batches = 1 } }
then = { plan = "pool2", from = "moving", epochs = 1 }
none = "none"

[optimizer]
name = "sgd"
learning_rate = 0.01
momentum = 0.9
"#;

const STEPS: u64 = 6;

fn run(dir: &Path, interrupted: &AtomicBool, progress: &mut dyn Progress) -> Result<(), Error> {
    let summary = run_study(dir, &options(interrupted), progress)?;
    assert!(!summary.any_failed(), "{summary:?}");
    Ok(())
}

fn bytes(dir: &Path, run: &str) -> Vec<u8> {
    std::fs::read(dir.join(RUNS).join(run).join(RECORDS)).unwrap()
}

#[test]
fn an_adaptive_plan_records_its_codecs_and_goes_on_with_them_after_a_stop() {
    let whole = study(TEXT);
    run(whole.path(), &AtomicBool::new(false), &mut Silent).unwrap();
    let folder = whole.path().join(RUNS).join("moving-seed3");
    let records = read_log::<Record>(&folder.join(RECORDS)).unwrap().values;
    let allocations: Vec<(u64, &str)> = records
        .iter()
        .filter_map(|record| match record {
            Record::Allocation { step, plan, kept_bytes, budget, exact_bytes, .. } => {
                assert_eq!(*budget, exact_bytes / 2);
                assert!(kept_bytes <= budget);
                Some((*step, plan.as_str()))
            }
            _ => None,
        })
        .collect();
    let steps: Vec<u64> = allocations.iter().map(|(step, _)| *step).collect();
    assert_eq!(steps, [0, 2, 4]);
    assert!(allocations.iter().any(|(_, plan)| plan.contains("mesa")), "{allocations:?}");
    assert!(matches!(records[0], Record::Allocation { step: 0, .. }));

    // Its measurements are part of the time of the epochs, and are told apart.
    let measurements = read_log::<Measurement>(&folder.join(MEASUREMENTS)).unwrap().values;
    let (mut measuring, mut training) = (0.0, 0.0);
    for measurement in &measurements {
        match measurement {
            Measurement::Allocation { seconds, passes, .. } => {
                assert!(*passes > 1);
                measuring += seconds;
            }
            Measurement::Time { train_seconds, .. } => training += train_seconds,
            _ => {}
        }
    }
    assert!(0.0 < measuring && measuring < training, "{measuring} of {training} s");

    // The weights are of its last codecs, with which its steps are timed.
    let file = File::open(&folder.join(WEIGHTS)).unwrap();
    assert_eq!(Origin::read(&file).unwrap().unwrap().plan, allocations[2].1);
    let timings = Timings::read(whole.path()).unwrap();
    assert!(timings.plans.iter().any(|timing| timing.plan.starts_with("adaptive every 2 steps")));

    for step in 1..STEPS {
        let dir = study(TEXT);
        let interrupted = AtomicBool::new(false);
        let mut stop = StopAfter { step, interrupted: &interrupted };
        let stopped = run(dir.path(), &interrupted, &mut stop);
        assert!(matches!(stopped, Err(Error::Interrupted)), "{stopped:?}");
        std::fs::copy(whole.path().join("timings.json"), dir.path().join("timings.json")).unwrap();
        run(dir.path(), &AtomicBool::new(false), &mut Silent).unwrap();
        for name in ["moving-seed3", "then-seed3"] {
            let same = bytes(dir.path(), name) == bytes(whole.path(), name);
            assert!(same, "{name}, stopped after step {step}");
        }
    }
}

#[test]
fn a_budget_that_is_too_small_is_refused_before_anything_is_trained() {
    let dir = study(&TEXT.replace("0.5x", "0.0001x"));
    let error = run(dir.path(), &AtomicBool::new(false), &mut Silent).unwrap_err().to_string();
    assert!(error.contains("plan moving of the study: adaptive.budget: 0.0001x given"), "{error}");
    assert!(error.contains("the least that is possible is "), "{error}");
    assert!(!dir.path().join(RUNS).exists());
}

#[test]
fn layers_that_there_are_not_are_refused_by_name() {
    let table = "\n[sensitivity]\ncodecs = [\"mesa\"]\nlayers = [\"typo\"]\n";
    let dir = study(&format!("{TEXT}{table}"));
    let error = run(dir.path(), &AtomicBool::new(false), &mut Silent).unwrap_err().to_string();
    let expected =
        "plan moving of the study: [sensitivity] layers: `typo` fits no layer that saves";
    assert!(error.contains(expected), "{error}");
    assert!(!dir.path().join(RUNS).exists());
}

#[test]
fn codecs_that_cannot_be_measured_are_refused_by_name() {
    for (codecs, expected) in [
        ("[\"q99\"]", "plans.moving.adaptive.codecs: "),
        ("[\"none\"]", "`none` needs no measurement"),
        ("[\"gact:4\"]", "shares a budget between layers"),
        ("[]", "plans.moving.adaptive.codecs: is empty"),
    ] {
        let dir = study(&TEXT.replace("[\"mesa\", \"q2\", \"pool2\"]", codecs));
        let error = run(dir.path(), &AtomicBool::new(false), &mut Silent).unwrap_err().to_string();
        assert!(error.contains(expected), "{codecs}: {error}");
    }
}
