//! A run that stops after any step and goes on ends with the bytes of one that did not stop.

#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use common::{StopAfter, options, study};
use packlight_record::layout::RUNS;
use packlight_record::{Manifest, Record, RunState, read_log};
use packlight_study::{Error, Options, Outcome, Progress, Silent, StudySummary, run_study};

const TEXT: &str = r#"
name = "tiny"
title = "A study for tests"
seeds = [3]
epochs = 2
batch = 16

[model]
name = "mlp"
hidden = [24, 12]

[data]
name = "digits"
size = 8
train_limit = 72
test_limit = 20
augment = { pad = 1 }

[plans]
pooled = "linear=pool2"

[optimizer]
name = "adamw"
learning_rate = 0.01

[probe]
steps = [0, 3, 7]
whole = true
"#;

const STEPS: u64 = 10;

/// A transformer with dropout, six steps.
const SEQUENCES: &str = r#"
name = "backwards"
title = "A study of sequences for tests"
seeds = [3]
epochs = 2
batch = 16

[model]
name = "transformer"
width = 8
depth = 1
heads = 2

[data]
name = "reverse"
train_limit = 40
test_limit = 10

[plans]
pooled = "linear=pool2,attention=pool2"

[optimizer]
name = "adamw"
learning_rate = 0.01

[probe]
steps = [0, 3]
whole = true
"#;

const RUN: &str = "pooled-seed3";

fn run(
    dir: &Path,
    interrupted: &AtomicBool,
    checkpoint_every: Duration,
    progress: &mut dyn Progress,
) -> Result<StudySummary, Error> {
    let options = Options { checkpoint_every, ..options(interrupted) };
    run_study(dir, &options, progress)
}

fn run_to_the_end(dir: &Path, checkpoint_every: Duration) {
    let summary = run(dir, &AtomicBool::new(false), checkpoint_every, &mut Silent).unwrap();
    assert_eq!(summary.runs[0].outcome, Outcome::Finished);
}

fn records(dir: &Path) -> Vec<u8> {
    std::fs::read(dir.join(RUNS).join(RUN).join("records.jsonl")).unwrap()
}

#[test]
fn stopped_after_any_step_it_goes_on_to_the_same_bytes() {
    for (text, steps) in [(TEXT, STEPS), (SEQUENCES, 6)] {
        let whole = study(text);
        run_to_the_end(whole.path(), Duration::MAX);
        let expected = records(whole.path());
        for step in 1..=steps {
            let dir = study(text);
            let interrupted = AtomicBool::new(false);
            let mut stop = StopAfter { step, interrupted: &interrupted };
            let stopped = run(dir.path(), &interrupted, Duration::MAX, &mut stop);
            assert!(matches!(stopped, Err(Error::Interrupted)), "{stopped:?}");
            let folder = dir.path().join(RUNS).join(RUN);
            assert_eq!(Manifest::read(&folder).unwrap().state, RunState::Unfinished);
            run_to_the_end(dir.path(), Duration::ZERO);
            assert!(records(dir.path()) == expected, "stopped after step {step}");
            assert_eq!(Manifest::read(&folder).unwrap().state, RunState::Finished);
        }
    }
}

#[test]
fn a_run_that_diverged_is_noted_where_it_was_killed_before() {
    let dir = study(&TEXT.replace("learning_rate = 0.01", "learning_rate = 1e30"));
    let failed = || {
        let summary = run(dir.path(), &AtomicBool::new(false), Duration::MAX, &mut Silent);
        assert!(summary.unwrap().any_failed());
        Manifest::read(&dir.path().join(RUNS).join(RUN)).unwrap()
    };
    let noted = failed();
    assert!(matches!(noted.state, RunState::Failed { .. }));
    let killed = Manifest { state: RunState::Unfinished, ..noted.clone() };
    let path = dir.path().join(RUNS).join(RUN).join("manifest.json");
    std::fs::write(path, serde_json::to_vec(&killed).unwrap()).unwrap();
    assert_eq!(failed(), noted);
}

#[test]
fn records_hold_all_that_the_study_asks_for() {
    let dir = study(TEXT);
    run_to_the_end(dir.path(), Duration::MAX);
    let path = dir.path().join(RUNS).join(RUN).join("records.jsonl");
    let records = read_log::<Record>(&path).unwrap().values;
    let steps = |which: fn(&Record) -> Option<u64>| {
        let mut steps: Vec<u64> = records.iter().filter_map(which).collect();
        steps.dedup();
        steps
    };
    let codecs: Vec<&str> = records
        .iter()
        .filter_map(|r| match r {
            Record::Layer { codec, kind, .. } if kind.name() == "linear" => Some(codec.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(codecs, ["pool2"; 3]);
    let probed = |r: &Record| match r {
        Record::Gradient { step, .. } => Some(*step),
        _ => None,
    };
    assert_eq!(steps(probed), [0, 3, 7]);
    let whole = |r: &Record| match r {
        Record::WholeGradient { step, .. } => Some(*step),
        _ => None,
    };
    assert_eq!(steps(whole), [0, 3, 7]);
    let kept = |r: &Record| match r {
        Record::Kept { step, .. } => Some(*step),
        _ => None,
    };
    assert_eq!(steps(kept), [1, 5], "the first step of each epoch that is not probed");
    let timeline = |r: &Record| match r {
        Record::Timeline { step, .. } => Some(*step),
        _ => None,
    };
    assert_eq!(steps(timeline), [1]);
    let epochs: Vec<(u64, u64)> = records
        .iter()
        .filter_map(|r| match r {
            Record::Epoch { epoch, step, train_loss, test_accuracy, .. } => {
                assert!(train_loss.is_finite() && (0.0..=1.0).contains(test_accuracy));
                Some((*epoch, *step))
            }
            _ => None,
        })
        .collect();
    assert_eq!(epochs, [(0, 5), (1, 10)]);
    assert_eq!(records.last(), Some(&Record::Finished { step: STEPS }));
}
