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

#[test]
fn a_plan_as_a_user_writes_it_has_the_codecs_bytes_and_error_of_its_layers() {
    let measured = Measured::new(&records(&network(6, 3)), None).unwrap();
    let of = |plan: &str| measured.of_plan(&plan.parse().unwrap());
    let best = measured.allocate(measured.exact_bytes() / 2, Objective::Sum).unwrap();
    let back = of(&measured.plan(&best)).unwrap();
    assert_eq!((&back.codecs, back.bytes), (&best.codecs, best.bytes));
    assert!((back.error - best.error).abs() <= 1e-12 * best.error);
    assert_eq!(of("c1").unwrap(), measured.uniform("c1").unwrap());
    // From the least to the most specific; of equally specific rules the last one counts.
    let mixed = of("layer2=c2,layer?=c0,lay*=c1,layer4=none,conv=c0,c0").unwrap();
    assert_eq!(mixed.codecs, ["c1", "c1", "c2", "c1", "none", "c1"]);
    let error = |plan: &str| of(plan).unwrap_err().to_string();
    assert_eq!(error("layer3=q3"), "q3 was not measured at layer3");
    for more in ["checkpoint=sqrt,c1", "last=1,default=c1"] {
        assert_eq!(
            error(more),
            "it does more than give layers codecs and recompute blocks by name"
        );
    }
}
