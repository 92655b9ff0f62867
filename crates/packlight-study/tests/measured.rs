//! What a study measures is what trains: the probe sees settled codecs, and every plan is timed
//! beside the baseline.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::study;
use packlight_record::layout::RUNS;
use packlight_record::{KeptKind, Record, Timings, read_log};
use packlight_study::{Event, Options, Progress, Silent, run_study};

const TEXT: &str = r#"
name = "tiny"
title = "A study for tests"
seeds = [3]
epochs = 2
batch = 16

[model]
name = "mlp"
hidden = [64, 64]

[data]
name = "digits"
size = 8
train_limit = 96
test_limit = 20

[plans]
none = "none"
again = { plan = "none", epochs = 3 }
gact = "gact:4"
alam = "linear=alam:2"
actnn = "actnn:3"
asi = "linear=asi:0.5"
resprop = "linear=resprop:0.1"

[optimizer]
name = "sgd"
learning_rate = 0.01

[probe]
every = 4
whole = true
"#;

fn records(study: &Path, plan: &str) -> Vec<Record> {
    let path = study.join(RUNS).join(format!("{plan}-seed3")).join("records.jsonl");
    read_log(&path).unwrap().values
}

/// The bytes kept of each layer's input at the first step that was probed, and at the first that
/// was not but had its kept tensors recorded.
fn probed_and_trained(records: &[Record]) -> [BTreeMap<String, u64>; 2] {
    let (mut probed, mut trained) = (BTreeMap::new(), BTreeMap::new());
    for record in records {
        match record {
            Record::Gradient { step: 1, layer, kept_bytes, .. } => {
                probed.insert(layer.clone(), *kept_bytes);
            }
            Record::Kept { step: 2, layer, kind: KeptKind::Input, payload, metadata, .. } => {
                trained.insert(layer.clone(), payload + metadata);
            }
            _ => {}
        }
    }
    [probed, trained]
}

#[test]
fn the_probe_sees_the_codecs_that_train() {
    let dir = study(TEXT);
    run_study(dir.path(), &Options::default(), &mut Silent).unwrap();
    for plan in ["gact", "alam", "actnn", "asi", "resprop"] {
        let records = records(dir.path(), plan);
        let [probed, trained] = probed_and_trained(&records);
        assert!(!probed.is_empty(), "{plan}: nothing was probed");
        let total = |bytes: &BTreeMap<String, u64>| -> f64 {
            probed.keys().map(|layer| bytes.get(layer).copied().unwrap_or(0) as f64).sum()
        };
        let (probed, trained) = (total(&probed), total(&trained));
        let apart = (probed / trained - 1.0).abs();
        assert!(apart < 0.1, "{plan}: {probed} bytes probed, {trained} bytes in training");
        let altered = records.iter().any(|record| match record {
            Record::WholeGradient { step: 1, fidelity, .. } => fidelity.relative_error > Some(0.0),
            _ => false,
        });
        assert!(altered, "{plan}: the first probe reads exact");
    }
}

#[test]
fn every_plan_is_timed_beside_the_baseline_once() {
    let dir = study(TEXT);
    run_study(dir.path(), &Options::default(), &mut Silent).unwrap();
    let timings = Timings::read(dir.path()).unwrap();
    let plans: Vec<&str> = timings.plans.iter().map(|timing| timing.plan.as_str()).collect();
    let expected =
        ["none", "gact:4", "linear=alam:2", "actnn:3", "linear=asi:0.5", "linear=resprop:0.1"];
    assert_eq!(plans, expected, "plans with the same codecs share a timing");
    for timing in &timings.plans {
        assert_eq!(timing.baseline, "none");
        assert!(timing.rounds.len() >= 9, "{}", timing.rounds.len());
        assert!(timing.rounds.iter().all(|round| round.baseline > 0.0 && round.own > 0.0));
    }

    assert_eq!(timed(dir.path(), &Options::default()), [""; 0], "what was timed is kept");
    assert_eq!(Timings::read(dir.path()).unwrap(), timings);
    let other = Options { threads: 7, ..Options::default() };
    assert_eq!(timed(dir.path(), &other).len(), 6, "with other threads it is another machine");
}

/// The plans that another go at the study times.
fn timed(study: &Path, options: &Options<'_>) -> Vec<String> {
    struct Timed(Vec<String>);
    impl Progress for Timed {
        fn event(&mut self, event: Event<'_>) {
            if let Event::Timing { plan } = event {
                self.0.push(plan.to_owned());
            }
        }
    }
    let mut timed = Timed(Vec::new());
    run_study(study, options, &mut timed).unwrap();
    timed.0
}
