//! What the page shows of plans that are adaptive.

use std::collections::HashMap;

use packlight_record::{AllocatedLayer, Measurement, Record};
use packlight_report::{family_of_plan, write};

use crate::support::{self, EPOCHS, Made, STEPS, complete};
use crate::{page, table};

const SPEC: &str = "adaptive every 2 epochs within 0.3x by q8 q2";

/// An allocation in which all convolutions of the first `stages` stages have 8 bits, all others 2.
fn allocation(step: u64, stages: u64, predicted_error: f64) -> Record {
    let layers: Vec<AllocatedLayer> = (support::layers().into_iter())
        .filter(|(layer, ..)| layer.contains("conv"))
        .map(|(layer, _, elements)| {
            let is_early = (1..=stages).any(|stage| layer.starts_with(&format!("layer{stage}")));
            let (codec, bits) = if is_early { ("q8", 8) } else { ("q2", 2) };
            let (kept_bytes, raw_bytes) = (64 * elements * bits / 8, 64 * 4 * elements);
            AllocatedLayer { layer, codec: codec.into(), kept_bytes, raw_bytes, error: 0.01 }
        })
        .collect();
    Record::Allocation {
        step,
        plan: "conv1=q2".into(),
        budget: 3 << 20,
        kept_bytes: 2 << 20,
        exact_bytes: 10 << 20,
        measuring_bytes: 2 << 20,
        predicted_error,
        layers,
    }
}

#[test]
fn an_adaptive_plan_shows_how_it_changed() {
    let study = tempfile::tempdir().unwrap();
    let mut runs = complete();
    for run in runs.iter_mut().filter(|run| run.plan == "pool2") {
        *run = Made { plan: "moving", spec: SPEC, ..run.clone() };
    }
    let folders = support::write(study.path(), &runs);
    for (step, stages, error) in [(0, 1, 0.04), (46, 1, 0.01), (92, 2, 0.0025)] {
        support::append(&folders[0], &allocation(step, stages, error));
        let measured = Measurement::Allocation { step, passes: 8, seconds: 0.3 };
        support::append_measurement(&folders[0], &measured);
    }
    let summary = write(study.path()).unwrap();
    let figures: Vec<_> = summary.figures.iter().filter_map(|f| f.file_stem()?.to_str()).collect();
    assert!(figures.contains(&"allocations-moving"), "{figures:?}");
    let page = page(study.path());
    let section = &page[page.find("How adaptive plans changed").unwrap()..];
    for expected in [
        "<b>moving</b>, seed 1: 3 allocations within 3.00 MiB; measuring took ",
        "the first allocation",
        "0 of 17",
        "4 of 17",
        "layer2.0.conv1: q2 → q8",
        "20.0 %",
        "5.00 %",
    ] {
        assert!(section.contains(expected), "{expected} is not in {}", &section[..3000]);
    }
    assert!(page.contains("4 of 17 have another one at the end"));
    let rows = table(study.path(), "allocations");
    assert_eq!(rows.len(), 3 * 17);
    // Measuring took 0.9 s of one run and nothing of the other; half of 0.9 s is a run's.
    let head = table(study.path(), "head-to-head");
    let row = head.iter().find(|row| row["plan"] == "moving").unwrap();
    let number = |row: &HashMap<String, String>, name: &str| row[name].parse::<f64>().unwrap();
    assert!((number(row, "calibration_seconds") - 0.9).abs() < 1e-9, "{row:?}");
    let times = table(study.path(), "times");
    let own = times.iter().filter(|row| row["plan"] == "moving");
    let seconds: f64 = own.clone().map(|row| number(row, "train_seconds")).sum::<f64>() - 0.9;
    let timed: f64 = own.map(|row| number(row, "steps")).sum();
    let share = 0.9 / (2 * EPOCHS * STEPS) as f64;
    let expected = number(row, "step_time_ratio") * (1.0 + share / (seconds / timed));
    let drawn = study.path().join("figures/accuracy-and-time.csv");
    let drawn = std::fs::read_to_string(drawn).unwrap();
    let line = drawn.lines().find(|line| line.starts_with("moving,")).unwrap();
    let ratio: f64 = line.split(',').nth(2).unwrap().parse().unwrap();
    assert!((ratio - expected).abs() < 1e-9 && expected > 1.05 * number(row, "step_time_ratio"));
    let csv = study.path().join("figures/allocations-moving.csv");
    let csv = std::fs::read_to_string(csv).unwrap();
    assert!(csv.contains("from step 92"), "{csv}");
    assert_eq!(family_of_plan(SPEC).name(), "several");
}
