//! The short plan of an allocation gives each layer of a real network its codec, and no other one any.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use candle_core::DType;
use packlight::allocation::{Allocation, Measured};
use packlight::nn::{Model, ModelSpec, Plan};
use packlight::record::{
    BlockFacts, Compared, Fidelity, LayerFacts, LayerKind, Score, SensitivityRecord,
};
use packlight::spec::Point;

const CODECS: [&str; 4] = ["none", "q2", "q4", "pool2"];

fn score(layer: &str, codec: &str) -> Score {
    let (cosine, exact_norm) = (Some(0.9), 1.0);
    let (relative_error, norm_ratio, snr_db) = (None, None, None);
    Score {
        state: "state".into(),
        point: Point::START,
        seed: 1,
        batch: 0,
        draws: 1,
        layer: layer.into(),
        codec: codec.into(),
        compared: Compared::Own,
        fidelity: Fidelity { cosine, relative_error, norm_ratio, snr_db, exact_norm },
        squared_error: 0.1,
        squared_bias: None,
        whole_norm: 1.0,
        learning_indicator: None,
        kept_bytes: 10,
        copy: codec.into(),
    }
}

/// What might be measured of a network whose blocks can be recomputed.
fn measured(model: &Model) -> Measured {
    let mut records = Vec::new();
    let packable = |kind| kind != LayerKind::Segment && LayerKind::PACKABLE.contains(&kind);
    for (number, layer) in model.save_points().iter().enumerate() {
        let (name, kind) = (layer.name().to_owned(), layer.kind());
        records.push(SensitivityRecord::At { layer: name.clone(), beside: 0, exact: None });
        if packable(kind) {
            let (source, raw_bytes, copy) = (number as u64, 100, "exact".into());
            let layer = name.clone();
            let restored_bytes = BTreeMap::new();
            let facts =
                LayerFacts { layer, kind, source, raw_bytes, copy, measured: true, restored_bytes };
            records.push(SensitivityRecord::Layer(facts));
            records.extend(CODECS[1..].iter().map(|c| SensitivityRecord::Score(score(&name, c))));
        }
    }
    for block in model.parameters().blocks() {
        let layers = &model.save_points()[block.layers.clone()];
        records.push(SensitivityRecord::Block(BlockFacts {
            block: block.name.clone(),
            layers: layers.iter().map(|layer| layer.name().to_owned()).collect(),
            input_bytes: 1,
            again_bytes: 1,
            step_bytes: 2,
        }));
    }
    Measured::new(&records, None).unwrap().with_recomputing().unwrap()
}

/// A few numbers below `n`, the same each time.
fn random(state: &mut u64, n: usize) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize % n
}

#[test]
fn layers_of_networks_have_the_codecs_of_their_allocation() {
    let mut state = 1;
    let mut characters = [0, 0];
    for (name, table) in [
        ("resnet18", "width = 8"),
        ("mobilenet_v2", ""),
        ("vit", "width = 32\ndepth = 4\nheads = 2\npatch = 4"),
    ] {
        let spec = ModelSpec::named(name, table.parse().unwrap()).unwrap();
        let spec = spec.for_images(3, 32, 10).unwrap();
        let blank = |plan: &str| {
            Model::blank(&spec, &Plan::parse(plan).unwrap(), DType::F32).map_err(|e| e.to_string())
        };
        let measured = measured(&blank("none").unwrap());
        for draw in 0..12 {
            // Layers of a block mostly agree; the codecs of blocks, and what is recomputed, is random.
            let mut agreed: Vec<(String, usize)> = Vec::new();
            let codec = |layer: &packlight::allocation::LayerChoices| {
                let name = &layer.facts.layer;
                let of = name.rsplit_once('.').map_or(name.as_str(), |(block, _)| block);
                let new = random(&mut state, 4);
                if agreed.iter().all(|(known, _)| known != of) {
                    agreed.push((of.to_owned(), new));
                }
                let at = agreed.iter().find(|(known, _)| known == of).unwrap().1;
                let at = if random(&mut state, 6) < draw % 6 { random(&mut state, 4) } else { at };
                // Elsewhere pooling has no scope; its name alone would say so.
                let is_conv = layer.facts.kind == LayerKind::Conv;
                CODECS[if at == 3 && !is_conv { 1 } else { at }].to_owned()
            };
            let mut codecs: Vec<String> = measured.layers().iter().map(codec).collect();
            let blocks = (0..).take_while(|number| measured.block(*number).is_some());
            let recomputed: Vec<usize> = blocks.filter(|_| random(&mut state, 4) == 0).collect();
            let all = Allocation { codecs, recomputed, bytes: 0, error: 0.0, gap: 0.0 };
            let inside: Vec<bool> = measured.recomputed(&all).iter().map(Option::is_some).collect();
            codecs = all.codecs.clone();
            codecs.iter_mut().zip(inside).filter(|(_, inside)| *inside).for_each(|(codec, _)| {
                "none".clone_into(codec);
            });
            let allocation = Allocation { codecs, ..all };
            let text = measured.plan(&allocation);
            let model = blank(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
            let expected: Vec<(&str, &str)> = measured
                .layers()
                .iter()
                .zip(&allocation.codecs)
                .map(|(layer, codec)| (layer.facts.layer.as_str(), codec.as_str()))
                .collect();
            for layer in model.save_points() {
                let known = expected.iter().find(|(name, _)| *name == layer.name());
                let packs = LayerKind::PACKABLE.contains(&layer.kind());
                let codec = known.map_or("none", |known| known.1);
                assert!(!packs || layer.codec().spec() == codec, "{} in {text}", layer.name());
            }
            let back = measured.of_plan(&text.parse().unwrap()).unwrap();
            assert_eq!(
                (&back.codecs, &back.recomputed),
                (&allocation.codecs, &allocation.recomputed)
            );
            let of_each =
                |of: &(&str, &str)| if of.1 == "none" { 0 } else { of.0.len() + of.1.len() + 2 };
            characters[0] += text.len();
            characters[1] += expected.iter().map(of_each).sum::<usize>();
        }
    }
    println!("{} characters in place of {}", characters[0], characters[1]);
    assert!(characters[0] < characters[1]);
}
