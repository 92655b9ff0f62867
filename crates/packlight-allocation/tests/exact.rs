//! Allocations are the best ones: against trying all of them, and against a table over all budgets.

#![allow(clippy::unwrap_used)]

mod made;

use std::collections::{BTreeMap, BTreeSet};

use made::{Choice, Layer, errors, network, records};
use packlight_allocation::{Allocation, Error, Measured, Objective};
use proptest::prelude::*;

const OBJECTIVES: [Objective; 2] = [Objective::Sum, Objective::Worst];

fn layers() -> impl Strategy<Value = Vec<Layer>> {
    let choice = (0u64..4, any::<bool>(), 0u64..12, errors())
        .prop_map(|(codec, shared, bytes, error)| Choice { codec, shared, bytes, error });
    let layer = (0u64..3, prop::collection::vec(choice, 0..4));
    prop::collection::vec(layer, 1..6).prop_map(|layers| {
        let made = |(source, choices)| Layer { source, raw_bytes: 10 + source, choices };
        layers.into_iter().map(made).collect()
    })
}

/// Bytes and errors of all allocations, and their codecs.
fn every(measured: &Measured, objective: Objective) -> Vec<(u64, f64, Vec<String>)> {
    let layers = measured.layers();
    let mut all = vec![Vec::new()];
    for layer in layers {
        let longer = |choices: &Vec<usize>| {
            let with = |choice| [choices.as_slice(), &[choice]].concat();
            (0..layer.choices.len()).map(with).collect::<Vec<_>>()
        };
        all = all.iter().flat_map(longer).collect();
    }
    let of = |choices: Vec<usize>| {
        let chosen = || layers.iter().zip(&choices).map(|(layer, &at)| (layer, &layer.choices[at]));
        let copies: BTreeMap<(u64, &str), u64> =
            chosen().map(|(l, c)| ((l.facts.source, c.copy.as_str()), c.bytes)).collect();
        let errors = chosen().map(|(_, choice)| choice.error.mean);
        let error = match objective {
            Objective::Sum => errors.sum(),
            Objective::Worst => errors.fold(0.0, f64::max),
        };
        let codecs = chosen().map(|(_, choice)| choice.codec.clone()).collect();
        (copies.values().sum(), error, codecs)
    };
    all.into_iter().map(of).collect()
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-12
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn no_allocation_is_better_within_the_budget(layers in layers()) {
        let measured = Measured::new(&records(&layers), None);
        prop_assume!(measured.is_ok()); // there are scores
        let measured = measured.unwrap();
        for objective in OBJECTIVES {
            let all = every(&measured, objective);
            let budgets: BTreeSet<u64> = all.iter().flat_map(|a| [a.0, a.0 + 1]).collect();
            let mut before = f64::INFINITY;
            for budget in budgets {
                let found = measured.allocate(budget, objective).unwrap();
                let fitting = || all.iter().filter(|other| other.0 <= budget);
                let error = fitting().map(|other| other.1).fold(f64::INFINITY, f64::min);
                let bytes = fitting().filter(|a| near(a.1, error)).map(|a| a.0).min().unwrap();
                prop_assert!(near(found.error, error), "{:?}: {} {}", found, budget, error);
                prop_assert_eq!(found.bytes, bytes);
                prop_assert!(found.error <= before, "a larger budget has a larger error");
                prop_assert_eq!(found.gap, 0.0);
                let own = all.iter().find(|other| other.2 == found.codecs).unwrap();
                prop_assert!(own.0 == found.bytes && near(own.1, found.error));
                before = found.error;
            }
            let least = all.iter().map(|other| other.0).min().unwrap();
            if least > 0 {
                let error = measured.allocate(least - 1, objective).unwrap_err();
                prop_assert_eq!(error, Error::TooSmall { budget: least - 1, least });
            }
        }
    }

    #[test]
    fn the_frontier_is_what_no_other_allocation_beats(layers in layers()) {
        let measured = Measured::new(&records(&layers), None);
        prop_assume!(measured.is_ok());
        let measured = measured.unwrap();
        for objective in OBJECTIVES {
            let mut all = every(&measured, objective);
            all.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
            let mut expected: Vec<(u64, f64)> = Vec::new();
            for (bytes, error, _) in all {
                if expected.last().is_none_or(|last| error < last.1 - 1e-12) {
                    expected.push((bytes, error));
                }
            }
            expected.reverse();
            let found = measured.frontier(objective);
            prop_assert_eq!(found.len(), expected.len(), "{:?} {:?}", found, expected);
            for (found, expected) in found.iter().zip(expected) {
                prop_assert!(found.bytes == expected.0 && near(found.error, expected.1));
            }
        }
    }
}

/// The least sum of errors for each budget, from a table over all budgets; no source is shared.
fn table(layers: &[Layer], most: usize) -> Vec<f64> {
    let mut least = vec![0.0; most + 1];
    for layer in layers {
        let exact = Choice { codec: 99, shared: false, bytes: layer.raw_bytes, error: 0.0 };
        let with = |budget: usize| {
            let of = |choice: &Choice| match budget.checked_sub(choice.bytes as usize) {
                Some(left) => least[left] + choice.error,
                None => f64::INFINITY,
            };
            layer.choices.iter().chain([&exact]).map(of).fold(f64::INFINITY, f64::min)
        };
        least = (0..=most).map(with).collect();
    }
    least
}

#[test]
fn sixty_layers_are_allocated_as_a_table_over_all_budgets_says() {
    let mut layers = network(60, 8);
    for (number, layer) in layers.iter_mut().enumerate() {
        layer.source = number as u64;
        layer.raw_bytes = layer.raw_bytes.div_ceil(1000);
        layer.choices.iter_mut().for_each(|choice| choice.bytes = choice.bytes.div_ceil(1000));
    }
    let measured = Measured::new(&records(&layers), None).unwrap();
    let most = measured.exact_bytes() as usize;
    let expected = table(&layers, most);
    for budget in (0..=most).step_by(most / 97) {
        match measured.allocate(budget as u64, Objective::Sum) {
            Ok(Allocation { bytes, error, gap, .. }) => {
                assert!(bytes <= budget as u64 && gap == 0.0);
                assert!((error - expected[budget]).abs() <= 1e-12 * error, "{budget}: {error}");
            }
            Err(_) => assert!(expected[budget].is_infinite()),
        }
    }
}

#[test]
fn a_large_frontier_is_a_sample_whose_allocations_are_the_best_for_their_bytes() {
    let measured = Measured::new(&records(&network(60, 8)), None).unwrap();
    for objective in OBJECTIVES {
        let frontier = measured.frontier(objective);
        assert!(frontier.len() > 50, "{}", frontier.len());
        assert_eq!(frontier[0].error, 0.0);
        assert!(frontier.is_sorted_by(|a, b| a.bytes > b.bytes && a.error < b.error));
        for allocation in frontier.iter().step_by(7) {
            assert_eq!(measured.allocate(allocation.bytes, objective).as_ref(), Ok(allocation));
        }
        let least = frontier.last().unwrap().bytes;
        assert!(measured.allocate(least - 1, objective).is_err());
    }
}
