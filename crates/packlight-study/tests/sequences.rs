//! Training from sequence to sequence.

#![allow(clippy::unwrap_used)]

mod common;

use std::sync::atomic::AtomicBool;

use common::{options, study};
use packlight_record::layout::RUNS;
use packlight_record::{Manifest, Record, read_log};
use packlight_study::{Options, Outcome, Silent, run_study};

const TEXT: &str = r#"
name = "backwards"
title = "Sequences said backwards"
seeds = [0]
epochs = 8
batch = 32

[model]
name = "transformer"
width = 32
depth = 1
heads = 2
dropout = 0.0

[data]
name = "reverse"
train_limit = 1024
test_limit = 128

[plans]
none = "none"
pooled = "attention=pool2,linear=pool2"

[optimizer]
name = "adamw"
learning_rate = 0.004
"#;

/// Test accuracy after each epoch of a run.
fn accuracies(dir: &std::path::Path, run: &str) -> Vec<f64> {
    let path = dir.join(RUNS).join(run).join("records.jsonl");
    let records = read_log::<Record>(&path).unwrap().values;
    let accuracy = |record: &Record| match record {
        Record::Epoch { test_accuracy, .. } => Some(*test_accuracy),
        _ => None,
    };
    records.iter().filter_map(accuracy).collect()
}

#[test]
fn a_transformer_learns_to_say_sequences_backwards() {
    let dir = study(TEXT);
    let interrupted = AtomicBool::new(false);
    let options = Options { threads: 2, ..options(&interrupted) };
    let summary = run_study(dir.path(), &options, &mut Silent).unwrap();
    assert!(summary.runs.iter().all(|run| run.outcome == Outcome::Finished));
    // One in sixteen symbols is right by chance, and so is the end mark where it can be counted.
    let exact = accuracies(dir.path(), "none-seed0");
    println!("{exact:?} {:?}", accuracies(dir.path(), "pooled-seed0"));
    assert!(exact[7] > 0.6 && exact[7] > exact[0], "{exact:?}");
    let manifest = Manifest::read(&dir.path().join(RUNS).join("none-seed0")).unwrap();
    assert_eq!(manifest.data, "reverse, sequences, vocabularies of 20 and 20");
    assert_eq!((manifest.train_samples, manifest.test_samples), (1024, 128));
}
