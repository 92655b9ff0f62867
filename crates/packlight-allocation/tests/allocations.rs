//! What can be done with an allocation: its plan, its neighbours, the knee of a frontier.

#![allow(clippy::unwrap_used)]

mod made;

use std::collections::BTreeMap;

use made::{Choice, Layer, network, records, score};
use packlight_allocation::{Allocation, Measured, Objective, knee};
use packlight_record::{LayerFacts, LayerKind, SensitivityRecord};
use packlight_spec::PlanSpec;

#[test]
fn the_plan_gives_each_layer_its_codec() {
    // Names that are also kinds select other layers, too.
    let layers = [
        ("conv", LayerKind::Conv),
        ("conv2", LayerKind::Conv),
        ("linear", LayerKind::Norm),
        ("fc", LayerKind::Linear),
        ("fc2", LayerKind::Linear),
    ];
    let facts = |(i, (name, kind)): (usize, &(&str, LayerKind))| LayerFacts {
        layer: (*name).into(),
        kind: *kind,
        source: i as u64,
        raw_bytes: 100,
        copy: "exact".into(),
        measured: true,
        restored_bytes: BTreeMap::new(),
    };
    let mut records: Vec<SensitivityRecord> =
        layers.iter().enumerate().map(facts).map(SensitivityRecord::Layer).collect();
    for (name, _) in layers {
        records.extend(["q2", "q4"].map(|q| SensitivityRecord::Score(score(name, q, 10, 0.1))));
    }
    let measured = Measured::new(&records, None).unwrap();
    for number in 0..3usize.pow(5) {
        let codecs = (0..5).map(|at| ["none", "q2", "q4"][number / 3usize.pow(at) % 3].to_owned());
        let allocation = Allocation {
            codecs: codecs.collect(),
            recomputed: Vec::new(),
            bytes: 0,
            error: 0.0,
            gap: 0.0,
        };
        let text = measured.plan(&allocation);
        let plan: PlanSpec = text.parse().unwrap();
        for ((name, kind), expected) in layers.iter().zip(&allocation.codecs) {
            let found = plan.codec(name, *kind).unwrap_or("none");
            assert_eq!(found, expected, "{name} in {text}");
        }
    }
    let codecs = ["none", "q2", "none", "none", "q4"].map(String::from).into();
    let allocation = Allocation { codecs, recomputed: Vec::new(), bytes: 0, error: 0.0, gap: 0.0 };
    assert_eq!(measured.plan(&allocation), "conv2=q2,fc2=q4");
    let exact = measured.allocate(u64::MAX, Objective::Sum).unwrap();
    assert_eq!(measured.plan(&exact), "none");
}

#[test]
fn neighbours_are_the_next_codecs_and_a_copy_that_is_kept_anyway_is_free() {
    let of = |codec, bytes, error| Choice { codec, shared: true, bytes, error };
    let choices = vec![of(1, 10, 0.4), of(2, 20, 0.2), of(4, 40, 0.1)];
    let layer = |source| Layer { source, raw_bytes: 100, choices: choices.clone() };
    let measured = Measured::new(&records(&[layer(0), layer(1), layer(1)]), None).unwrap();
    let codecs = ["c2", "c2", "c4"].map(String::from).into();
    let allocation = Allocation { codecs, recomputed: Vec::new(), bytes: 80, error: 0.5, gap: 0.0 };
    let found = measured.neighbours(&allocation);
    let told = |neighbours: &packlight_allocation::Neighbours| {
        let tell = |other: &Option<packlight_allocation::Neighbour>| match other {
            Some(other) => format!("{} {} {:.1}", other.codec, other.bytes, other.error),
            None => "nothing".into(),
        };
        (tell(&neighbours.cheaper), tell(&neighbours.better))
    };
    assert_eq!(told(&found[0]), ("c1 -10 0.2".into(), "c4 20 -0.1".into()));
    // The third layer keeps c4 of the same tensor: for the second one it costs less than nothing.
    assert_eq!(told(&found[1]), ("c4 -20 -0.1".into(), "c4 -20 -0.1".into()));
    assert_eq!(told(&found[2]), ("c2 -40 0.1".into(), "none 60 -0.1".into()));
}

#[test]
fn the_knee_is_where_the_frontier_lies_farthest_below_the_line_between_its_ends() {
    let at = |bytes, error| Allocation {
        codecs: Vec::new(),
        recomputed: Vec::new(),
        bytes,
        error,
        gap: 0.0,
    };
    // In logarithms to base 10: (4, -4), (3, -3.9), (2, -3), (1, 0), which lie 0, 0.31, 0.42 and 0 of the
    // height below the line.
    let frontier =
        [at(20_000, 0.0), at(10_000, 1e-4), at(1000, 10f64.powf(-3.9)), at(100, 1e-3), at(10, 1.0)];
    assert_eq!(knee(&frontier), Some(3));
    assert_eq!(knee(&frontier[..2]), None);
    assert_eq!(knee(&[]), None);
    let straight = [at(1000, 1e-3), at(100, 1e-2), at(10, 1e-1)];
    assert_eq!(knee(&straight), None);
}

#[test]
fn an_allocation_s_own_interval_holds_its_error() {
    let measured = Measured::new(&records(&network(20, 5)), None).unwrap();
    for objective in [Objective::Sum, Objective::Worst] {
        for allocation in measured.frontier(objective).iter().step_by(20) {
            let found = measured.estimate(allocation, objective);
            assert!((found.mean - allocation.error).abs() <= 1e-12);
            assert_eq!(found.interval, None, "one batch: {found:?}");
        }
    }
}
