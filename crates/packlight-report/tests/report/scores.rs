//! Made-up scores of single layers, for tests of the report only.

use std::collections::BTreeMap;

use std::path::{Path, PathBuf};

use packlight_record::{
    Appender, Compared, Distribution, Fidelity, KeptKind, LayerFacts, LayerKind, LossChange,
    OneOff, PlanError, PlanFacts, PlanOrigin, PlanRecord, Score, SensitivityRecord, layout,
};
use packlight_spec::Point;

use crate::support::{layers, noise};

/// Writes a log of single layers below `study` and returns its path.
pub(crate) fn write(study: &Path, records: &[SensitivityRecord]) -> PathBuf {
    let folder = study.join(layout::SENSITIVITY);
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(layout::SCORES);
    let mut log = Appender::open(&path, 0).unwrap();
    records.iter().for_each(|record| log.append(record).unwrap());
    log.sync().unwrap();
    path
}

/// A layer that saves a tensor of its own.
pub(crate) fn facts(
    source: u64,
    layer: &str,
    kind: LayerKind,
    raw_bytes: u64,
) -> SensitivityRecord {
    SensitivityRecord::Layer(LayerFacts {
        layer: layer.into(),
        kind,
        source,
        raw_bytes,
        copy: "none".into(),
        measured: true,
        restored_bytes: BTreeMap::new(),
    })
}

/// A score of a convolution or linear layer; the whole gradient's norm is 2.
pub(crate) fn score(layer: &str, codec: &str, batch: u64, squared_error: f64) -> Score {
    Score {
        state: format!("state {batch}"),
        point: Point::START,
        seed: 1,
        batch,
        draws: 1,
        layer: layer.into(),
        codec: codec.into(),
        compared: Compared::Own,
        fidelity: Fidelity {
            cosine: Some(0.9),
            relative_error: Some(squared_error.sqrt()),
            norm_ratio: Some(1.0),
            snr_db: Some(10.0),
            exact_norm: 1.0,
        },
        squared_error,
        squared_bias: None,
        whole_norm: 2.0,
        learning_indicator: None,
        kept_bytes: 100,
        copy: codec.into(),
    }
}

/// Writes what was measured of whole plans into the folder of a study that verifies the first of them. Each
/// has its bytes and its squared errors, one for each batch; the gradient's norm is 2, and all is bias.
pub(crate) fn write_errors(folder: &Path, plans: &[(&str, PlanOrigin, u64, &[f64])]) {
    std::fs::create_dir_all(folder).unwrap();
    let mut log = Appender::open(&folder.join(layout::ERRORS), 0).unwrap();
    for &(plan, origin, bytes, _) in plans {
        let facts =
            PlanFacts { plan: plan.into(), spec: plan.into(), origin, budget: 3 << 20, bytes };
        log.append(&PlanRecord::Plan(facts)).unwrap();
    }
    for (plan, _, _, errors) in plans {
        for (batch, &squared_error) in (0..).zip(*errors) {
            let error = PlanError {
                state: format!("state {batch}"),
                point: Point::START,
                seed: 1,
                batch,
                draws: 2,
                spec: (*plan).into(),
                squared_error,
                squared_bias: Some(squared_error),
                whole_norm: 2.0,
            };
            log.append(&PlanRecord::Error(error)).unwrap();
        }
    }
    log.sync().unwrap();
}

/// A distribution of which only the share at or below 0 is of interest.
pub(crate) fn indicator(nonpositive: f64) -> Distribution {
    let (count, mean, min, max) = (64, 0.8, -0.1, 1.0);
    let (p05, p25, median, p75, p95) = (0.1, 0.6, 0.8, 0.9, 0.95);
    Distribution { count, mean, min, p05, p25, median, p75, p95, max, nonpositive }
}

/// Codecs with the share that each keeps, and the error of its own layer's gradient.
const CODECS: [(&str, f64, f64); 9] = [
    ("q8", 0.2505, 0.004),
    ("q4", 0.1255, 0.06),
    ("q2", 0.063, 0.4),
    ("q1", 0.0317, 1.2),
    ("pool2", 0.25, 0.3),
    ("pool4", 0.0625, 0.7),
    ("hosvd:0.9", 0.3, 0.08),
    ("hosvd:0.8", 0.12, 0.2),
    ("bf16", 0.5, 0.002),
];

/// What a ResNet-18 might give: convolutions, norms and the linear layer, two points, two seeds, three
/// batches; the last linear layer's gradient is at the floor.
pub(crate) fn resnet18() -> Vec<SensitivityRecord> {
    let packable = |kind: LayerKind| !matches!(kind, LayerKind::Relu | LayerKind::Loss);
    let layers: Vec<_> = layers().into_iter().filter(|layer| packable(layer.1)).collect();
    let mut records = Vec::new();
    for (i, (layer, kind, elements)) in layers.iter().enumerate() {
        records.push(facts(i as u64, layer, *kind, elements * 4 * 64));
        let (layer, kind) = (layer.clone(), KeptKind::Statistics);
        records.push(SensitivityRecord::Fixed { layer, kind, bytes: 64 });
    }
    for (point, seed, batch) in groups() {
        for (i, (layer, kind, elements)) in layers.iter().enumerate() {
            for (c, (codec, share, own)) in CODECS.iter().enumerate() {
                let conv = *kind == LayerKind::Conv;
                if !conv && (codec.starts_with("pool") || codec.starts_with("hosvd")) {
                    continue;
                }
                let layer_share = 0.35 * (-0.09 * i as f64).exp() * (0.4 + noise(i as u64, 5, 0));
                let varies = 0.8 + 0.4 * noise(i as u64 * 9 + c as u64, seed, batch);
                let later = 1.0 + point.share() * noise(c as u64, 3, 3);
                let error = own * layer_share * varies * later;
                let mut score = score(layer, codec, batch, (2.0 * error).powi(2));
                score.state = format!("{point} {seed} {batch}");
                (score.point, score.seed) = (point, seed);
                score.fidelity.cosine = Some((1.0 - own * own / 2.0).max(-0.1));
                if layer == "fc" {
                    score.fidelity.exact_norm = 1e-9;
                }
                match *kind == LayerKind::Norm {
                    true => score.compared = Compared::All,
                    false => score.learning_indicator = Some(indicator(0.02 * own)),
                }
                // Codes of few bits are rounded at random, the others by what they keep.
                let part = if codec.starts_with('q') { 0.01 } else { 1.0 };
                (score.draws, score.squared_bias) = (2, Some(part * score.squared_error));
                score.kept_bytes = ((elements * 256) as f64 * share) as u64 + 16;
                let luck = noise(batch, seed, i as u64) - 0.5;
                records.push(SensitivityRecord::Loss(change(&score, 0.3 * error + 0.01 * luck)));
                if codec.starts_with('q') {
                    // What goes with a layer is a bit less than its own error.
                    let squared_error = 100.0 - 0.8 * score.squared_error;
                    records.push(SensitivityRecord::OneOff(one_off(&score, squared_error)));
                }
                records.push(SensitivityRecord::Score(score));
            }
        }
        for (codec, ..) in CODECS.iter().filter(|codec| codec.0.starts_with('q')) {
            let mut all = score("", codec, batch, 0.0);
            all.state = format!("{point} {seed} {batch}");
            (all.point, all.seed, all.draws) = (point, seed, 2);
            let all = OneOff { except: None, ..one_off(&all, 100.0) };
            records.push(SensitivityRecord::OneOff(all));
        }
    }
    records
}

/// Twenty updates with what a score is of.
pub(crate) fn change(score: &Score, after_horizon: f64) -> LossChange {
    LossChange {
        state: score.state.clone(),
        point: score.point,
        seed: score.seed,
        batch: score.batch,
        horizon: 20,
        layer: score.layer.clone(),
        codec: score.codec.clone(),
        exact_after_one: 2.0,
        exact_after_horizon: 1.0,
        after_one: Some(after_horizon / 20.0),
        after_horizon: Some(after_horizon),
    }
}

/// The codec of a score at all layers but its own, without bias.
pub(crate) fn one_off(score: &Score, squared_error: f64) -> OneOff {
    OneOff {
        state: score.state.clone(),
        point: score.point,
        seed: score.seed,
        batch: score.batch,
        draws: score.draws,
        except: Some(score.layer.clone()),
        codec: score.codec.clone(),
        among: "these".into(),
        squared_error,
        squared_bias: None,
        whole_norm: score.whole_norm,
    }
}

fn groups() -> Vec<(Point, u64, u64)> {
    let mut groups = Vec::new();
    for seed in [1, 2] {
        for point in [Point::START, Point::END] {
            groups.extend((0..3).map(|batch| (point, seed, batch)));
        }
    }
    groups
}
