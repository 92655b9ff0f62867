//! Allocations to compare others with: the same codec everywhere, and codecs drawn at random.

#![allow(clippy::unwrap_used)]

mod made;

use made::{Choice, Layer, network, records};
use packlight_allocation::{Error, Measured, Objective};

#[test]
fn random_allocations_fit_the_budget_differ_and_come_back() {
    let measured = Measured::new(&records(&network(30, 6)), None).unwrap();
    let least = match measured.allocate(0, Objective::Sum).unwrap_err() {
        Error::TooSmall { least, .. } => least,
        other => panic!("{other}"),
    };
    for share in [0.9, 0.6, 0.4] {
        let budget = least + (share * (measured.exact_bytes() - least) as f64) as u64;
        let best = measured.allocate(budget, Objective::Sum).unwrap();
        let drawn: Vec<_> = (0..4).map(|draw| measured.random(budget, draw).unwrap()).collect();
        for (draw, random) in drawn.iter().enumerate() {
            assert!(random.bytes <= budget && random.error >= best.error, "{share}, {draw}");
            assert_eq!(measured.random(budget, draw as u64).as_ref(), Some(random));
        }
        assert!(drawn[1..].iter().any(|random| random.codecs != drawn[0].codecs));
    }
    // At the least budget the only allocation is the cheapest, if it is found at all.
    if let Some(found) = measured.random(least, 0) {
        assert_eq!(found.bytes, least);
    }
    assert_eq!(measured.random(least - 1, 0), None);
}

#[test]
fn all_codecs_are_listed_once_in_the_order_of_the_log() {
    let choice = |codec| Choice { codec, shared: true, bytes: 1, error: 0.1 };
    let layer = |source, codecs: &[u64]| Layer {
        source,
        raw_bytes: 10,
        choices: codecs.iter().map(|&codec| choice(codec)).collect(),
    };
    let measured = Measured::new(&records(&[layer(0, &[3, 1]), layer(1, &[1, 2])]), None).unwrap();
    assert_eq!(measured.codecs(), ["c3", "c1", "c2"]);
}
