//! The reports of long studies: forty plans of three seeds that probe eighty layers; and scores of
//! twenty-five codecs at eighty layers.
//!
//! `PACKLIGHT_RECORDS` says how many records to report, a million unless it is set, and `PACKLIGHT_SCORES` how
//! many scores, a hundred thousand. The studies are left in cargo's folder for temporary files. At the end
//! stands the most memory that the process ever held.

#![allow(clippy::unwrap_used)] // a benchmark

#[path = "../tests/report/scores.rs"]
#[allow(dead_code)] // the tests need all of it
mod scores;
#[path = "../tests/report/support.rs"]
#[allow(dead_code)] // the tests need all of it
mod support;

use std::path::{Path, PathBuf};

use criterion::{Criterion, SamplingMode};
use packlight_record::{
    Appender, Distribution, Fidelity, LayerKind, Manifest, Record, SensitivityRecord,
};
use packlight_spec::Point;
use rayon::prelude::*;
use support::{Made, noise};

const PLANS: u64 = 40;
const SEEDS: [u64; 3] = [1, 2, 3];
const LAYERS: u64 = 80;
const CODECS: u64 = 25;

/// The name of a layer.
fn name(layer: u64) -> String {
    format!("layer{}.{}.conv{}", layer / 20, layer / 2 % 10, layer % 2)
}

/// The gradient of a layer at a step, with numbers of as many digits as real ones.
fn gradient(plan: u64, seed: u64, step: u64, layer: u64) -> Record {
    let loss = 0.2 * noise(plan, seed * 1_000_000 + step, layer);
    let fidelity = Fidelity {
        cosine: Some(1.0 - loss),
        relative_error: Some((2.0 * loss).sqrt()),
        norm_ratio: Some(1.0 - 0.5 * loss),
        snr_db: Some(-10.0 * (2.0 * loss).log10()),
        exact_norm: 0.3 / (1.0 + loss),
    };
    let at = |share: f64| 1.0 - share * loss;
    let learning_indicator = Some(Distribution {
        count: 64,
        mean: at(1.1),
        min: at(6.3),
        p05: at(3.7),
        p25: at(1.9),
        median: at(1.2),
        p75: at(0.7),
        p95: at(0.3),
        max: at(0.1),
        nonpositive: 0.015625,
    });
    Record::Gradient {
        epoch: step / 100,
        step,
        layer: name(layer),
        fidelity,
        learning_indicator,
        sample_learning_indicator: None,
        kept_bytes: 16_400,
        raw_bytes: 65_536,
    }
}

/// Has `write` fill a folder of this name, if it is not there yet, and returns it.
fn once(name: &str, write: impl FnOnce(&Path)) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let written = folder.join("written");
    if !written.exists() {
        let _ = std::fs::remove_dir_all(&folder); // of a run that was stopped
        write(&folder);
        std::fs::write(written, "").unwrap();
    }
    folder
}

/// Writes a study with about so many records.
fn study(folder: &Path, records: u64) {
    let like = support::complete().remove(0);
    let runs: Vec<Made> = (0..PLANS)
        .flat_map(|plan| SEEDS.map(|seed| (plan, seed)))
        .map(|(plan, seed)| {
            // Plans live as long as the benchmark does.
            let name: &'static str = if plan == 0 { "none" } else { format!("q{plan}").leak() };
            Made { plan: name, spec: name, index: plan, seed, ..like.clone() }
        })
        .collect();
    let steps = records / (PLANS * SEEDS.len() as u64 * LAYERS);
    support::write(folder, &runs).par_iter().for_each(|run| {
        let Manifest { plan_index, seed, .. } = Manifest::read(run).unwrap();
        let path = run.join("records.jsonl");
        let length = std::fs::metadata(&path).unwrap().len();
        let mut log = Appender::open(&path, length).unwrap();
        for step in 0..steps {
            for layer in 0..LAYERS {
                log.append(&gradient(plan_index, seed, 1000 + step, layer)).unwrap();
            }
        }
        log.sync().unwrap();
    });
}

/// Writes about so many scores: of two points of the training and five seeds.
fn measurement(folder: &Path, scores: u64) {
    let facts = |layer| scores::facts(layer, &name(layer), LayerKind::Conv, 1 << 20);
    let mut records: Vec<SensitivityRecord> = (0..LAYERS).map(facts).collect();
    for batch in 0..scores / (LAYERS * CODECS * 10) {
        for (point, seed) in
            [Point::START, Point::END].into_iter().flat_map(|p| (1..=5).map(move |s| (p, s)))
        {
            for (layer, codec) in (0..LAYERS).flat_map(|l| (0..CODECS).map(move |c| (l, c))) {
                let error = (codec + 1) as f64 * noise(layer, seed * 1000 + batch, codec);
                let mut score =
                    scores::score(&name(layer), &format!("q{}", codec + 1), batch, error);
                (score.point, score.seed) = (point, seed);
                score.state =
                    format!("{:064x}", batch * 10 + seed + 1000 * u64::from(point == Point::END));
                (score.draws, score.squared_bias) = (2, Some(0.1 * error));
                score.learning_indicator = Some(scores::indicator(0.01 * error));
                score.kept_bytes = (1 << 20) / (codec + 2);
                records.push(SensitivityRecord::Score(score));
            }
        }
    }
    scores::write(folder, &records);
}

/// The most memory that the process has held, in MiB; NaN where the system does not say.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kib.map_or(f64::NAN, |kib| kib / 1024.0)
}

fn main() {
    let number = |name: &str, usual: u64| std::env::var(name).map_or(usual, |n| n.parse().unwrap());
    let records = number("PACKLIGHT_RECORDS", 1_000_000);
    let scores = number("PACKLIGHT_SCORES", 100_000);
    let studies = [
        (
            format!("{records} records"),
            once(&format!("records-{records}"), |at| study(at, records)),
        ),
        (
            format!("{scores} scores"),
            once(&format!("scores-{scores}"), |at| measurement(at, scores)),
        ),
    ];
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("report");
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    for (name, study) in &studies {
        group.bench_function(name, |bencher| {
            bencher.iter(|| packlight_report::write(study).unwrap());
        });
    }
    group.finish();
    criterion.final_summary();
    println!("at most {:.0} MiB", peak());
}
