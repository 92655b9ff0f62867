//! What the page shows of plans that are adaptive.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

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
        for folder in &folders[..2] {
            let measured = Measurement::Allocation { step, passes: 8, seconds: 0.3 };
            support::append_measurement(folder, &measured);
        }
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
    // Measuring took 0.9 s of either run, and each step has its share, by that run's own clock.
    let head = table(study.path(), "head-to-head");
    let row = head.iter().find(|row| row["plan"] == "moving").unwrap();
    let number = |row: &HashMap<String, String>, name: &str| row[name].parse::<f64>().unwrap();
    assert!((number(row, "calibration_seconds") - 0.9).abs() < 1e-9, "{row:?}");
    let times = table(study.path(), "times");
    let factor = |seed: &str| {
        let own = times.iter().filter(|row| row["plan"] == "moving" && row["seed"] == seed);
        let seconds: f64 = own.clone().map(|row| number(row, "train_seconds")).sum::<f64>() - 0.9;
        let timed: f64 = own.map(|row| number(row, "steps")).sum();
        1.0 + 0.9 / (EPOCHS * STEPS) as f64 / (seconds / timed)
    };
    let expected = number(row, "step_time_ratio") * (factor("1") + factor("2")) / 2.0;
    let drawn = study.path().join("figures/accuracy-and-time.csv");
    let drawn = std::fs::read_to_string(drawn).unwrap();
    let line = drawn.lines().find(|line| line.starts_with("moving,")).unwrap();
    let ratio: f64 = line.split(',').nth(2).unwrap().parse().unwrap();
    assert!((ratio - expected).abs() < 1e-9 && expected > 1.1 * number(row, "step_time_ratio"));
    let csv = study.path().join("figures/allocations-moving.csv");
    let csv = std::fs::read_to_string(csv).unwrap();
    assert!(csv.contains("from step 92"), "{csv}");
    assert_eq!(family_of_plan(SPEC).name(), "several");
}

/// A study of three seeds with an exact plan and two that differ in how often they choose.
fn once_and_again(study: &Path) -> Vec<PathBuf> {
    let adaptive = |every| {
        format!("{{ adaptive = {{ every = '{every}', budget = '0.3x', codecs = ['q8', 'q2'] }} }}")
    };
    let (once, again) = (adaptive("6 epochs"), adaptive("2 epochs"));
    let text = format!(
        "name = 'made-up'\ntitle = 't'\nseeds = [1, 2, 3]\n[plans]\nnone = 'none'\nonce = {once}\nagain = {again}"
    );
    std::fs::write(study.join("study.toml"), text).unwrap();
    let mut runs = support::with_seeds(&[1, 2, 3]);
    for run in &mut runs {
        (run.plan, run.spec) = match run.plan {
            "pool4" => ("once", "adaptive every 6 epochs within 0.3x by q8 q2"),
            "pool2" => ("again", SPEC),
            plan => (plan, plan),
        };
    }
    let folders = support::write(study, &runs);
    for (run, folder) in runs.iter().zip(&folders) {
        let steps: &[u64] = match run.plan {
            "none" => &[],
            "once" => &[0],
            _ => &[0, 46, 92],
        };
        steps.iter().for_each(|step| support::append(folder, &allocation(*step, 1, 0.01)));
    }
    folders
}

#[test]
fn plans_that_choose_more_often_stand_beside_the_one_that_chooses_once() {
    let study = tempfile::tempdir().unwrap();
    let folders = once_and_again(study.path());
    write(study.path()).unwrap();
    let end = (EPOCHS - 1).to_string();
    let epochs = table(study.path(), "epochs");
    let accuracy = |plan: &str, seed: &str| -> f64 {
        let of = |row: &&HashMap<String, String>| {
            row["plan"] == plan && row["seed"] == seed && row["epoch"] == end
        };
        epochs.iter().find(of).unwrap()["test_accuracy"].parse().unwrap()
    };
    let differences = ["1", "2", "3"].map(|s| 100.0 * (accuracy("again", s) - accuracy("once", s)));
    let mean = differences.iter().sum::<f64>() / 3.0;
    let sd = (differences.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / 2.0).sqrt();
    let half = 4.302_653 * sd / 3f64.sqrt(); // Student's t of two degrees of freedom
    let said = format!(
        "<b>again</b> beside once, from which it differs only in how often it chooses: {mean:+.1} ± {half:.1} points of \
         accuracy (n = 3), <span class=\"confirmed\">gain</span>."
    );
    let found = page(study.path());
    let section = &found[found.find("How adaptive plans changed").unwrap()..];
    assert!(section.contains(&said), "{said} is not in {}", &section[..1000]);
    assert!(section.contains("over 1 such comparison"), "{}", &section[..1000]);

    // Not before all runs have finished.
    std::fs::remove_dir_all(&folders[0]).unwrap();
    write(study.path()).unwrap();
    assert!(!page(study.path()).contains("only in how often it chooses"));
}
