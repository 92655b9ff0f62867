//! The resident peak that a run records is its own: not what another run of the process needed.

#![allow(clippy::unwrap_used)]
#![cfg(target_os = "linux")]

mod common;

use std::path::Path;

use common::{run, stderr, study};
use packlight::record::layout::{MEASUREMENTS, RUNS};
use packlight::record::{Measurement, read_log};

/// Large activations beside small parameters, and a single step.
const TEXT: &str = r#"
name = "resident"
title = "A study of large activations"
seeds = [0]
epochs = 1
batch = 1400

[model]
name = "mlp"
hidden = [128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128]

[data]
name = "digits"
size = 8
train_limit = 1400
test_limit = 20

[plans]
none = "none"
pooled = "linear=pool4"
again = "none"

[optimizer]
name = "sgd"
learning_rate = 0.01
"#;

/// The resident and the allocated peak of a step of a run, in MiB.
fn peaks(study: &Path, plan: &str) -> (f64, f64) {
    let path = study.join(RUNS).join(format!("{plan}-seed0")).join(MEASUREMENTS);
    let measurements = read_log::<Measurement>(&path).unwrap().values;
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    let resident = measurements.iter().find_map(|m| match m {
        Measurement::Resident { peak, .. } => Some(mib(*peak as f64)),
        _ => None,
    });
    let allocated = measurements.iter().find_map(|m| match m {
        Measurement::Allocated { peak, .. } => Some(mib(*peak as f64)),
        _ => None,
    });
    (resident.unwrap(), allocated.unwrap())
}

#[test]
fn a_plan_that_keeps_less_after_one_that_keeps_more_has_a_lower_resident_peak() {
    if std::fs::write("/proc/self/clear_refs", "5").is_err() {
        return eprintln!("skipped: this system cannot forget a resident peak");
    }
    let dir = study(TEXT);
    let output = run(dir.path());
    assert!(output.status.success(), "{}", stderr(&output));
    let [none, pooled, again] = ["none", "pooled", "again"].map(|plan| peaks(dir.path(), plan));
    let less = none.1 - pooled.1;
    assert!(less > 16.0, "the allocator counts {none:?} and {pooled:?} MiB");
    // The resident set also has what threads hold in reserve, some MiB more or less.
    assert!(none.0 - pooled.0 > 0.3 * less, "{none:?} and {pooled:?} MiB");
    assert!((none.0 - again.0).abs() < 0.3 * less, "{none:?} and {again:?} MiB");
}
