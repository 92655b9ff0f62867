//! A plan with epochs of its own trains for as long, over a schedule that stretches with them.

#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use common::options;
use packlight_record::layout::{RUNS, STUDY};
use packlight_record::{Manifest, Measurement, Record, read_log};
use packlight_study::{Outcome, Silent, StudySummary, run_study};

const TEXT: &str = r#"
name = "tiny"
title = "A study for tests"
seeds = [3]
epochs = 2
batch = 16

[model]
name = "mlp"
hidden = [24]

[data]
name = "digits"
size = 8
train_limit = 72
test_limit = 20

[plans]
short = "linear=pool2"
long = { plan = "linear=pool2", epochs = 4 }

[optimizer]
name = "sgd"
learning_rate = 0.1

[schedule]
name = "cosine"
warmup = 0.2

[probe]
every = 5
"#;

const STEPS_PER_EPOCH: u64 = 5;

fn run(dir: &Path, text: &str) -> StudySummary {
    std::fs::write(dir.join(STUDY), text).unwrap();
    let interrupted = AtomicBool::new(false);
    run_study(dir, &options(&interrupted), &mut Silent).unwrap()
}

#[test]
fn the_schedule_and_the_probe_last_as_long_as_the_plan() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), TEXT);
    for (name, epochs) in [("short-seed3", 2), ("long-seed3", 4)] {
        let folder = dir.path().join(RUNS).join(name);
        assert_eq!(Manifest::read(&folder).unwrap().epochs, epochs);
        let records = read_log::<Record>(&folder.join("records.jsonl")).unwrap().values;
        let steps = epochs * STEPS_PER_EPOCH;
        assert_eq!(records.last(), Some(&Record::Finished { step: steps }));
        let rates: Vec<f64> = records
            .iter()
            .filter_map(|r| match r {
                Record::Epoch { learning_rate, .. } => Some(*learning_rate),
                _ => None,
            })
            .collect();
        let warmup = 0.2 * steps as f64;
        let cosine = |epoch: u64| {
            let done = ((epoch * STEPS_PER_EPOCH - 1) as f64 - warmup) / (steps as f64 - warmup);
            0.05 * (1.0 + (std::f64::consts::PI * done).cos())
        };
        assert_eq!(rates.len() as u64, epochs);
        for (rate, epoch) in rates.iter().zip(1..) {
            assert!((rate - cosine(epoch)).abs() < 1e-12, "{name}, epoch {epoch}: {rate}");
        }
        let mut probed: Vec<u64> = records
            .iter()
            .filter_map(|r| match r {
                Record::Gradient { step, .. } => Some(*step),
                _ => None,
            })
            .collect();
        probed.dedup();
        let multiples = (5..steps).step_by(5);
        assert_eq!(probed, std::iter::once(1).chain(multiples).collect::<Vec<_>>());
    }
}

#[test]
fn a_longer_plan_can_join_a_study_that_is_finished() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), &TEXT.replace("long = { plan = \"linear=pool2\", epochs = 4 }", ""));
    let outcomes: Vec<_> = run(dir.path(), TEXT).runs.into_iter().map(|r| r.outcome).collect();
    assert_eq!(outcomes, [Outcome::AlreadyFinished, Outcome::Finished]);
}

/// The steps and seconds that were timed in each epoch of a run.
fn times(dir: &Path, run: &str) -> Vec<(u64, f64)> {
    let path = dir.join(RUNS).join(run).join("measurements.jsonl");
    let time = |measurement| match measurement {
        Measurement::Time { steps, train_seconds, .. } => Some((steps, train_seconds)),
        _ => None,
    };
    read_log(&path).unwrap().values.into_iter().filter_map(time).collect()
}

#[test]
fn an_epoch_of_one_batch_is_timed_unless_it_is_probed() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), &TEXT.replace("batch = 16", "batch = 72").replace("every = 5", "steps = [2]"));
    let times = times(dir.path(), "long-seed3");
    assert_eq!(times.iter().map(|(steps, _)| *steps).collect::<Vec<_>>(), [1, 1, 0, 1]);
    assert!(times.iter().all(|&(steps, seconds)| (seconds > 0.0) == (steps > 0)), "{times:?}");
}

#[test]
fn the_last_batch_can_be_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let text = TEXT.replace("batch = 16", "batch = 16\ndrop_last = true");
    run(dir.path(), &text.replace("every = 5", "steps = [1]"));
    let records = |run: &str| {
        let path = dir.path().join(RUNS).join(run).join("records.jsonl");
        read_log::<Record>(&path).unwrap().values
    };
    assert_eq!(records("short-seed3").last(), Some(&Record::Finished { step: 2 * 4 }));
    // Three steps of 16 beside the probed one, not a fourth of 8.
    assert_eq!(times(dir.path(), "short-seed3")[0].0, 3);
}
