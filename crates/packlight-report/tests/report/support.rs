//! Plausible records of a small study, for tests of the report only: the numbers are made up.

use std::path::{Path, PathBuf};

use packlight_record::{
    Appender, Distribution, Draws, Fidelity, KeptKind, LayerKind, Manifest, Measurement,
    PlanTiming, Record, Round, RunState, TimelinePoint, Timings,
};

pub(crate) const EPOCHS: u64 = 6;
pub(crate) const STEPS: u64 = 23;

/// A number in `[0, 1)` that looks random.
pub(crate) fn noise(a: u64, b: u64, c: u64) -> f64 {
    let mut x = a.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ b.wrapping_mul(0xD1B5_4A32_D192_ED03);
    x = (x ^ c.wrapping_add(0x94D0_49BB_1331_11EB)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 31)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (x >> 11) as f64 / (1u64 << 53) as f64
}

/// ResNet-18's layers in forward order with the elements of each one's input.
pub(crate) fn layers() -> Vec<(String, LayerKind, u64)> {
    let mut all = vec![
        ("conv1".to_string(), LayerKind::Conv, 3 * 1024),
        ("bn1".to_string(), LayerKind::Norm, 8 * 1024),
        ("relu".to_string(), LayerKind::Relu, 8 * 1024),
    ];
    for stage in 1..=4u64 {
        let (channels, side) = (8 << (stage - 1), 32 >> (stage - 1));
        for block in 0..2 {
            let size = channels * side * side;
            let first = block == 0 && stage > 1;
            let input = if first { size * 2 } else { size };
            let name = |part: &str| format!("layer{stage}.{block}.{part}");
            all.push((name("conv1"), LayerKind::Conv, input));
            all.push((name("bn1"), LayerKind::Norm, size));
            all.push((name("relu1"), LayerKind::Relu, size));
            all.push((name("conv2"), LayerKind::Conv, size));
            all.push((name("bn2"), LayerKind::Norm, size));
            if first {
                all.push((name("downsample.0"), LayerKind::Conv, input));
                all.push((name("downsample.1"), LayerKind::Norm, size));
            }
            all.push((name("relu2"), LayerKind::Relu, size));
        }
    }
    all.push(("fc".to_string(), LayerKind::Linear, 64));
    all.push(("loss".to_string(), LayerKind::Loss, 10));
    all
}

/// A made-up run.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) plan: &'static str,
    pub(crate) spec: &'static str,
    pub(crate) index: u64,
    pub(crate) seed: u64,
    /// The factor by which the codec shrinks each side of a convolution's input.
    pub(crate) factor: u64,
    /// The number of recorded epochs.
    pub(crate) epochs: u64,
    pub(crate) planned: u64,
    pub(crate) state: RunState,
}

/// The runs of a complete study.
pub(crate) fn complete() -> Vec<Made> {
    let plans = [("pool2", 2), ("none", 1), ("pool4", 4)];
    let mut runs = Vec::new();
    for (index, (plan, factor)) in plans.into_iter().enumerate() {
        for seed in [1, 2] {
            let index = index as u64;
            let state = RunState::Finished;
            let (epochs, planned) = (EPOCHS, EPOCHS);
            runs.push(Made { plan, spec: plan, index, seed, factor, epochs, planned, state });
        }
    }
    runs
}

/// The same with other seeds.
pub(crate) fn with_seeds(seeds: &[u64]) -> Vec<Made> {
    let of = |run: &Made| {
        seeds.iter().map(|seed| Made { seed: *seed, ..run.clone() }).collect::<Vec<_>>()
    };
    complete().iter().step_by(2).flat_map(of).collect()
}

/// Writes runs below `study`, with times of their plans, and returns their folders.
pub(crate) fn write(study: &Path, runs: &[Made]) -> Vec<PathBuf> {
    let mut plans: Vec<&Made> = runs.iter().collect();
    plans.sort_by_key(|run| run.spec);
    plans.dedup_by_key(|run| run.spec);
    let plans = plans.into_iter().map(|run| timing(run, 0.02)).collect();
    std::fs::create_dir_all(study).unwrap();
    Timings { plans }.write(study).unwrap();
    runs.iter().map(|run| write_run(study, run)).collect()
}

/// Seven rounds of a plan; the machine's `noise` shows in both steps of a round, and a little of it in
/// one alone.
pub(crate) fn timing(run: &Made, noise: f64) -> PlanTiming {
    let round = |i: u64| {
        let exact = 0.04 * (1.0 + 0.3 * self::noise(i, 1, run.factor));
        let cost = 1.0 + 0.1 * (run.factor - 1) as f64;
        Round { baseline: exact, own: exact * cost * (1.0 + noise * (self::noise(i, 2, 0) - 0.5)) }
    };
    PlanTiming {
        plan: run.spec.into(),
        baseline: "none".into(),
        study_hash: HASH.repeat(4),
        cpu: CPU.into(),
        threads: 2,
        rounds: (0..7).map(round).collect(),
    }
}

const HASH: &str = "0123456789abcdef";
const CPU: &str = "A made-up processor";

/// Copies the folder of a run.
pub(crate) fn copy(run: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(run).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

/// Changes a run's manifest so that the run starts from another plan's weights.
pub(crate) fn start_from(run: &Path, plan: &str) {
    let manifest = Manifest { from: Some(plan.into()), ..Manifest::read(run).unwrap() };
    manifest.write(run).unwrap();
}

/// Changes a run's manifest to say that its epochs were multiplied by `scale`.
pub(crate) fn scale(run: &Path, scale: f64) {
    let manifest = Manifest { scale, ..Manifest::read(run).unwrap() };
    manifest.write(run).unwrap();
}

/// Halves every kept input in the records of a run.
pub(crate) fn halve_what_is_kept(run: &Path) {
    let path = run.join("records.jsonl");
    let records: Vec<Record> = packlight_record::read_log(&path).unwrap().values;
    std::fs::remove_file(&path).unwrap();
    let mut halved = Appender::open(&path, 0).unwrap();
    for record in records {
        let record = match record {
            Record::Kept { step, layer, kind, payload, metadata, raw } => {
                Record::Kept { step, layer, kind, payload: payload / 2, metadata, raw }
            }
            Record::Timeline { step, mut points } => {
                points.iter_mut().for_each(|point| point.kept = point.kept * 9 / 20);
                Record::Timeline { step, points }
            }
            record => record,
        };
        halved.append(&record).unwrap();
    }
    halved.sync().unwrap();
}

/// Adds a record to those of a run.
pub(crate) fn append(run: &Path, record: &Record) {
    let path = run.join("records.jsonl");
    let length = std::fs::metadata(&path).unwrap().len();
    let mut records = Appender::open(&path, length).unwrap();
    records.append(record).unwrap();
    records.sync().unwrap();
}

/// Adds a measurement to those of a run.
pub(crate) fn append_measurement(run: &Path, measurement: &Measurement) {
    let path = run.join("measurements.jsonl");
    let length = std::fs::metadata(&path).unwrap().len();
    let mut measurements = Appender::open(&path, length).unwrap();
    measurements.append(measurement).unwrap();
    measurements.sync().unwrap();
}

fn write_run(study: &Path, run: &Made) -> PathBuf {
    let folder = study.join("runs").join(format!("{}-seed{}", run.plan, run.seed));
    std::fs::create_dir_all(&folder).unwrap();
    let manifest = Manifest {
        study: "made-up".into(),
        title: "Pooled <activations> & \"friends\"".into(),
        plan: run.plan.into(),
        plan_index: run.index,
        plan_spec: run.spec.into(),
        seed: run.seed,
        epochs: run.planned,
        scale: 1.0,
        from: None,
        model: "ResNet-18, width 8".into(),
        parameters: 175_258,
        data: "handwritten digits".into(),
        train_samples: 1438,
        test_samples: 359,
        guessed: Some(0.1),
        batch: 64,
        settings: None,
        study_hash: HASH.repeat(4),
        data_hash: "fedcba9876543210".repeat(4),
        version: "0.1.0".into(),
        cpu: CPU.into(),
        threads: 2,
        state: run.state.clone(),
    };
    manifest.write(&folder).unwrap();
    let mut records = Appender::open(&folder.join("records.jsonl"), 0).unwrap();
    let mut measurements = Appender::open(&folder.join("measurements.jsonl"), 0).unwrap();
    for (layer, kind, _) in layers() {
        let codec = if kind == LayerKind::Conv { run.spec } else { "none" };
        records.append(&Record::Layer { layer, kind, codec: codec.into() }).unwrap();
    }
    memory(run, &mut records, &mut measurements);
    for epoch in 0..run.epochs {
        for step in [0, STEPS / 2] {
            gradients(run, epoch, epoch * STEPS + step, &mut records);
        }
        let left = (-(0.9 - 0.1 * run.factor as f64) * (epoch + 1) as f64).exp();
        let jitter = 0.01 * noise(run.seed, epoch, run.factor);
        records
            .append(&Record::Epoch {
                epoch,
                step: (epoch + 1) * STEPS,
                learning_rate: 0.05 * (1.0 - epoch as f64 / run.planned as f64),
                train_loss: 2.3 * left + jitter,
                train_accuracy: 1.0 - left - jitter,
                test_loss: 2.4 * left + 0.05 + jitter,
                test_accuracy: 0.985 - 0.9 * left - jitter,
                test_perplexity: None,
                test_bleu: None,
            })
            .unwrap();
        let train_seconds = (0.9 - 0.03 * run.factor as f64) + jitter;
        let time = Measurement::Time { epoch, steps: STEPS - 2, train_seconds, test_seconds: 0.1 };
        measurements.append(&time).unwrap();
        let peak = (120 << 20) + (epoch << 16);
        measurements.append(&Measurement::Resident { step: epoch, peak }).unwrap();
    }
    if run.state == RunState::Finished {
        records.append(&Record::Finished { step: run.epochs * STEPS }).unwrap();
    }
    records.sync().unwrap();
    measurements.sync().unwrap();
    folder
}

fn kept_bytes(run: &Made, kind: LayerKind, elements: u64) -> (KeptKind, u64) {
    match kind {
        LayerKind::Conv => (KeptKind::Input, 64 * 4 * elements / (run.factor * run.factor)),
        // As in the gradients' records: the smaller factor leaves the linear layer exact.
        LayerKind::Linear if run.factor > 2 => {
            (KeptKind::Input, 64 * 4 * elements / (run.factor * run.factor))
        }
        LayerKind::Relu => (KeptKind::Mask, 64 * elements / 8),
        _ => (KeptKind::Input, 64 * 4 * elements),
    }
}

fn memory(run: &Made, records: &mut Appender, measurements: &mut Appender) {
    let mut points = Vec::new();
    let mut live = 0;
    for (layer, kind, elements) in layers() {
        let (what, payload) = kept_bytes(run, kind, elements);
        let raw = 64 * 4 * elements;
        let kept =
            Record::Kept { step: 0, layer: layer.clone(), kind: what, payload, metadata: 16, raw };
        records.append(&kept).unwrap();
        live += payload + 16;
        points.push(TimelinePoint { layer: layer.clone(), backward: false, kept: live });
        let bytes = payload + 48;
        let counted = Measurement::Counted { step: 0, layer, kind: what, bytes };
        measurements.append(&counted).unwrap();
    }
    for (layer, kind, elements) in layers().into_iter().rev() {
        live -= kept_bytes(run, kind, elements).1 + 16;
        points.push(TimelinePoint { layer, backward: true, kept: live });
    }
    let flight = |i: usize| (400_000.0 * (1.0 + noise(i as u64, 3, run.factor))) as i64;
    let counted: Vec<i64> =
        points.iter().enumerate().map(|(i, p)| p.kept as i64 + flight(i)).collect();
    let peak = counted.iter().max().unwrap() + 500_000 + run.seed as i64 * 10_000;
    records.append(&Record::Timeline { step: 0, points }).unwrap();
    measurements.append(&Measurement::Allocated { step: 0, points: counted, peak }).unwrap();
}

fn gradients(run: &Made, epoch: u64, step: u64, records: &mut Appender) {
    let probed = layers()
        .into_iter()
        .filter(|(_, kind, _)| matches!(kind, LayerKind::Conv | LayerKind::Linear));
    for (i, (layer, kind, elements)) in probed.enumerate() {
        let linear = kind == LayerKind::Linear;
        let exact = run.factor == 1 || linear && run.factor == 2;
        let loss = if exact {
            0.0
        } else {
            let depth = 0.05 + 0.012 * i as f64;
            let ease = if layer.contains("downsample") { 0.05 } else { 1.0 };
            ease * depth * run.factor as f64 * (0.7 + 0.5 * noise(run.seed, step, i as u64))
        };
        // The exact gradient of one layer vanishes at one step.
        let defined = !(i == 4 && step == STEPS / 2);
        let some = |value: f64| defined.then_some(value);
        let fidelity = Fidelity {
            cosine: some(1.0 - loss),
            relative_error: some((2.0 * loss).sqrt()),
            norm_ratio: some(1.0 - 0.5 * loss),
            snr_db: some(-10.0 * (2.0 * loss).log10()).filter(|_| loss > 0.0),
            exact_norm: if defined { 0.3 / (1.0 + i as f64) } else { 0.0 },
        };
        let parameter = format!("{layer}.weight");
        let drawn = Draws { count: 4, bias: some(0.3), variance: some(0.04) };
        let draws = (run.factor > 1).then_some(drawn);
        records.append(&Record::WholeGradient { epoch, step, parameter, fidelity, draws }).unwrap();
        let median = 1.0 - 1.2 * loss;
        let learning_indicator = Some(Distribution {
            count: 64,
            mean: median,
            min: median - 4.0 * loss,
            p05: median - 2.0 * loss,
            p25: median - 0.5 * loss,
            median,
            p75: median + 0.4 * loss,
            p95: median + 0.8 * loss,
            max: 1.0,
            nonpositive: if median - 2.0 * loss < 0.0 { 0.07 } else { 0.0 },
        });
        let kept_bytes = 64 * 4 * elements / if exact { 1 } else { run.factor * run.factor };
        let raw_bytes = 64 * 4 * elements;
        records
            .append(&Record::Gradient {
                epoch,
                step,
                layer,
                fidelity,
                learning_indicator,
                sample_learning_indicator: learning_indicator.filter(|_| linear),
                kept_bytes,
                raw_bytes,
            })
            .unwrap();
    }
}
