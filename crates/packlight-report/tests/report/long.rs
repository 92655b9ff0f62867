//! Studies with more probed steps than figures can show.

use packlight_record::{Fidelity, Record, read_log, write_log};
use packlight_report::{Tables, write};

use crate::support::{self, complete};
use crate::{page, table};

/// The cosine of the added step `step` of a seed.
fn cosine(seed: u64, step: u64) -> f64 {
    0.9 - 0.001 * (step % 100) as f64 - 0.01 * seed as f64
}

#[test]
fn a_part_of_many_probed_steps_is_drawn_and_averages_are_of_all() {
    let study = tempfile::tempdir().unwrap();
    let runs = complete();
    for (run, made) in support::write(study.path(), &runs).iter().zip(&runs) {
        let path = run.join("records.jsonl");
        let mut records: Vec<Record> = read_log(&path).unwrap().values;
        records.retain(|r| !matches!(r, Record::Gradient { .. } | Record::WholeGradient { .. }));
        for step in 0..100 {
            let cosine = if made.factor == 1 { 1.0 } else { cosine(made.seed, step) };
            let fidelity = Fidelity {
                cosine: Some(cosine),
                relative_error: Some(1.0 - cosine),
                norm_ratio: Some(1.0),
                snr_db: None,
                exact_norm: 1.0,
            };
            records.push(Record::Gradient {
                epoch: step / 20,
                step,
                layer: "conv1".into(),
                fidelity,
                learning_indicator: None,
                sample_learning_indicator: None,
                kept_bytes: 1024,
                raw_bytes: 4096,
            });
            let parameter = "conv1.weight".into();
            records.push(Record::WholeGradient {
                epoch: 0,
                step,
                parameter,
                fidelity,
                draws: None,
            });
        }
        write_log(&path, &records).unwrap();
    }
    write(study.path()).unwrap();
    let mean: f64 = [1, 2].iter().flat_map(|seed| (0..100).map(|step| cosine(*seed, step))).sum();
    let rows = table(study.path(), "head-to-head");
    let row = rows.iter().find(|row| row["plan"] == "pool2").unwrap();
    let found: f64 = row["cosine_mean"].parse().unwrap();
    assert!((found - mean / 200.0).abs() < 1e-12, "{found}");

    let page = page(study.path());
    assert!(page.contains("Of the 100 probed steps of a run, the gradients of 40"), "{page}");
    assert!(page.contains("at step 0 to") && page.contains("at step 99"), "both ends are drawn");
    for name in ["gradients", "whole-gradients"] {
        assert_eq!(table(study.path(), name).len(), 40 * runs.len(), "{name}");
    }
    // Whoever opens the records as data frames has all of them.
    assert_eq!(Tables::read(study.path()).unwrap().gradients.height(), 100 * runs.len());
}
