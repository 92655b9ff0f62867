//! Made-up scores.

#![allow(dead_code)] // each test uses some of it

pub(crate) mod step;

use std::collections::BTreeSet;

use packlight_record::{Compared, Fidelity, LayerFacts, LayerKind, Score, SensitivityRecord};
use packlight_spec::Point;
use proptest::prelude::*;

/// A layer of a made-up network.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    pub(crate) source: u64,
    pub(crate) raw_bytes: u64,
    pub(crate) choices: Vec<Choice>,
}

/// A codec for it. Those with the same number are the same.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    pub(crate) codec: u64,
    /// Whether its copy is the same as that of the codec at other layers.
    pub(crate) shared: bool,
    pub(crate) bytes: u64,
    pub(crate) error: f64,
}

pub(crate) fn facts(number: usize, layer: &Layer) -> LayerFacts {
    LayerFacts {
        layer: format!("layer{number}"),
        kind: LayerKind::Conv,
        source: layer.source,
        raw_bytes: layer.raw_bytes,
        copy: "exact".into(),
        measured: true,
        // The others restore all of it at a time.
        restored_bytes: [("c0".into(), 0), ("c1".into(), layer.raw_bytes / 2)].into(),
    }
}

/// A score on batch 0 at the start; tests change what they are about.
pub(crate) fn score(layer: &str, codec: &str, bytes: u64, error: f64) -> Score {
    Score {
        state: "start-1-0".into(),
        point: Point::START,
        seed: 1,
        batch: 0,
        draws: 1,
        layer: layer.into(),
        codec: codec.into(),
        compared: Compared::Own,
        fidelity: Fidelity {
            cosine: Some(0.5),
            relative_error: Some(error.sqrt()),
            norm_ratio: Some(1.0),
            snr_db: None,
            exact_norm: 1.0,
        },
        squared_error: 4.0 * error,
        squared_bias: None,
        whole_norm: 2.0,
        learning_indicator: None,
        kept_bytes: bytes,
        copy: codec.into(),
    }
}

/// Errors of which some are often the same, so that there are ties. Their sums are exact, so that two sums never
/// differ by rounding alone.
pub(crate) fn errors() -> impl Strategy<Value = f64> {
    let of = |parts: u32| (0..parts).prop_map(move |part| f64::from(part) / f64::from(parts));
    prop_oneof![of(4), of(1 << 20)]
}

/// A log of scores on one batch.
pub(crate) fn records(layers: &[Layer]) -> Vec<SensitivityRecord> {
    let facts = layers.iter().enumerate().map(|(i, l)| SensitivityRecord::Layer(facts(i, l)));
    let mut records: Vec<SensitivityRecord> = facts.collect();
    for (number, layer) in layers.iter().enumerate() {
        let mut before = BTreeSet::new();
        for choice in layer.choices.iter().filter(|choice| before.insert(choice.codec)) {
            let (name, codec) = (format!("layer{number}"), format!("c{}", choice.codec));
            let copy = if choice.shared { codec.clone() } else { format!("{codec} of {name}") };
            let score = score(&name, &codec, choice.bytes, choice.error);
            records.push(SensitivityRecord::Score(Score { copy, ..score }));
        }
    }
    records
}

/// A network of which every third source is saved by three layers, whose codecs have fewer bytes the
/// larger their errors are. The numbers are the same each time.
pub(crate) fn network(layers: usize, choices: u64) -> Vec<Layer> {
    let mut state = 7u64;
    let mut random = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let mut made: Vec<Layer> = Vec::new();
    while made.len() < layers {
        let source = made.len() as u64;
        let raw_bytes = 4 * (1000.0 * 100f64.powf(random())) as u64;
        let users = if source.is_multiple_of(5) { 3 } else { 1 };
        let ratios: Vec<f64> = (0..choices).map(|_| 0.02 + 0.9 * random()).collect();
        for _ in 0..users {
            let sensitivity = 1e-4 * 1000f64.powf(random());
            let choices = (0..choices).zip(&ratios).map(|(codec, &ratio)| Choice {
                codec,
                shared: true,
                bytes: (ratio * raw_bytes as f64) as u64,
                error: sensitivity * 10f64.powf(-8.0 * ratio + random()),
            });
            made.push(Layer { source, raw_bytes, choices: choices.collect() });
        }
    }
    made.truncate(layers);
    made
}
