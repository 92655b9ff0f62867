//! Allocations that recompute blocks, and whose bytes are those of whole steps, are the best ones: against
//! trying all of them.

#![allow(clippy::unwrap_used)]

mod made;

use std::collections::{BTreeMap, BTreeSet};

use made::step::{Block, Step, large};
use made::{Choice, Layer, errors, network, records};
use packlight_allocation::{Error, Measured, Objective};
use proptest::prelude::*;

/// The blocks that save no tensor which another layer saves.
fn apart(step: &Step) -> Vec<&Block> {
    let sources = |inside: bool, block: &Block| -> BTreeSet<u64> {
        let layers = step.layers.iter().enumerate();
        let those = layers.filter(|(number, _)| block.layers.contains(number) == inside);
        those.map(|(_, layer)| layer.source).collect()
    };
    let is_apart = |block: &&Block| sources(true, block).is_disjoint(&sources(false, block));
    step.blocks.iter().filter(is_apart).collect()
}

fn step() -> impl Strategy<Value = Step> {
    let choice = (0u64..3, any::<bool>(), 0u64..12, errors())
        .prop_map(|(codec, shared, bytes, error)| Choice { codec, shared, bytes, error });
    let layer = (0u64..12, prop::collection::vec(choice, 0..3));
    let layer = (layer, (0u64..4, 0u64..30, 0u64..15)).prop_map(|((source, choices), place)| {
        (Layer { source, raw_bytes: 10 + source, choices }, place)
    });
    let block = (1usize..3, 0usize..2, 0u64..14, 0u64..20, 0u64..50);
    (prop::collection::vec(layer, 1..6), prop::collection::vec(block, 0..3)).prop_map(
        |(layers, blocks)| {
            let (layers, places): (Vec<Layer>, _) = layers.into_iter().unzip();
            let mut next = 0;
            let made = |(length, gap, input, again, step)| {
                let from = next + gap;
                next = from + length;
                let step = step + input + again;
                (next <= layers.len()).then_some(Block { layers: from..next, input, again, step })
            };
            let blocks = blocks.into_iter().map(made).collect::<Vec<_>>().into_iter();
            Step { blocks: blocks.flatten().collect(), layers, places }
        },
    )
}

/// An allocation, by trying.
#[derive(Debug)]
struct Tried {
    peak: u64,
    error: f64,
    /// Bytes that are saved again.
    again: u64,
    /// What packing, restoring and recomputing take; 0 without times.
    seconds: f64,
}

fn every(measured: &Measured, step: &Step, whole: bool, objective: Objective) -> Vec<Tried> {
    let layers = measured.layers();
    let mut all = vec![Vec::new()];
    for layer in layers {
        let longer = |choices: &Vec<usize>| {
            let with = |choice| [choices.as_slice(), &[choice]].concat();
            (0..layer.choices.len()).map(with).collect::<Vec<_>>()
        };
        all = all.iter().flat_map(longer).collect();
    }
    let blocks = apart(step);
    let mut tried = Vec::new();
    for set in 0..1usize << blocks.len() {
        let chosen = || blocks.iter().enumerate().filter(|(at, _)| set >> at & 1 == 1);
        let block_of = |layer: usize| chosen().find(|(_, b)| b.layers.contains(&layer));
        for choices in &all {
            let (mut peak, mut kept, mut error, mut seconds) = (0, 0, 0.0, 0.0);
            let mut before: BTreeSet<u64> = BTreeSet::new();
            for (number, layer) in layers.iter().enumerate() {
                if let Some((_, block)) = block_of(number) {
                    if block.layers.start == number {
                        let more = if whole { block.step } else { block.input + block.again };
                        peak = peak.max(kept + more);
                        kept += block.input;
                    }
                    continue;
                }
                seconds += layer.choices[choices[number]].seconds.unwrap_or_default();
                let own = layer.choices[choices[number]].error.mean;
                error = match objective {
                    Objective::Sum => error + own,
                    Objective::Worst => f64::max(error, own),
                };
                let source = layer.facts.source;
                let (fixed, exact, restored) = step.places[number];
                // The first layer that saves a tensor has to restore it if it packs it, as much at a time as the codec
                // says; others may have to restore all.
                let is_first = before.insert(source);
                let raw = layer.facts.raw_bytes;
                let at_a_time = match layer.choices[choices[number]].codec.as_str() {
                    "none" | "c0" if is_first => 0,
                    "c1" if is_first => raw / 2,
                    _ => raw,
                };
                let beside = exact.max((exact + restored + at_a_time).saturating_sub(raw));
                if is_first {
                    let users =
                        layers.iter().zip(choices).filter(|(l, _)| l.facts.source == source);
                    let copies: BTreeMap<&str, u64> = users
                        .map(|(l, &at)| (l.choices[at].copy.as_str(), l.choices[at].bytes))
                        .collect();
                    kept += copies.values().sum::<u64>();
                }
                kept += fixed;
                peak = peak.max(kept + if whole { beside } else { 0 });
            }
            let again: u64 = chosen().map(|(_, block)| block.again).sum();
            seconds += 0.02 * again as f64;
            tried.push(Tried { peak, error, again, seconds });
        }
    }
    tried
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn no_allocation_of_a_step_is_better_within_the_budget(step in step()) {
        let measured = Measured::new(&step.records(), None);
        prop_assume!(measured.is_ok()); // there are scores
        let plain = measured.unwrap();
        for (whole, objective) in [
            (false, Objective::Sum),
            (true, Objective::Sum),
            (false, Objective::Worst),
            (true, Objective::Worst),
        ] {
            let measured = match plain.clone().with_recomputing() {
                Ok(measured) => measured,
                Err(error) => {
                    prop_assert!(error == Error::NoBlocks && apart(&step).is_empty());
                    plain.clone()
                }
            };
            let measured = if whole { measured.of_steps().unwrap() } else { measured };
            let all = every(&measured, &step, whole, objective);
            let budgets: BTreeSet<u64> = all.iter().flat_map(|a| [a.peak, a.peak + 1]).collect();
            for budget in budgets {
                let found = measured.allocate(budget, objective).unwrap();
                let fitting = || all.iter().filter(|other| other.peak <= budget);
                let error = fitting().map(|other| other.error).fold(f64::INFINITY, f64::min);
                prop_assert!((found.error - error).abs() < 1e-11, "{found:?}: {budget} {error}");
                prop_assert!(found.bytes <= budget && found.gap < 1e-11, "{found:?}: {budget}");
                let best = fitting().filter(|other| other.error <= error + 1e-11);
                let again = best.map(|other| other.again).min().unwrap();
                let blocks = found.recomputed.iter().map(|&block| measured.block(block).unwrap());
                let number = |block: &str| block["block".len()..].parse::<usize>().unwrap();
                let own: u64 = blocks.map(|block| step.blocks[number(block)].again).sum();
                prop_assert_eq!(own, again, "{:?} within {}", found, budget);
                // The plan says the same.
                let back = measured.of_plan(&measured.plan(&found).parse().unwrap()).unwrap();
                prop_assert_eq!((&back.codecs, &back.recomputed), (&found.codecs, &found.recomputed));
                prop_assert_eq!(back.bytes, found.bytes);
            }
            let least = all.iter().map(|other| other.peak).min().unwrap();
            if least > 0 {
                let error = measured.allocate(least - 1, objective).unwrap_err();
                prop_assert_eq!(error, Error::TooSmall { budget: least - 1, least });
            }
            let frontier = measured.frontier(objective);
            prop_assert!(frontier.is_sorted_by(|a, b| a.bytes > b.bytes && a.error < b.error));
            prop_assert_eq!(frontier.last().unwrap().bytes, least);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(150) })]

    #[test]
    fn a_limit_of_time_is_kept_and_the_gap_holds_the_best_allocation(step in step()) {
        let measured = Measured::new(&step.records(), None);
        prop_assume!(measured.is_ok()); // there are scores
        let measured = measured.unwrap().timed(&step.times());
        let measured = measured.clone().with_recomputing().unwrap_or(measured);
        let all = every(&measured, &step, false, Objective::Sum);
        let budgets: BTreeSet<u64> = all.iter().map(|a| a.peak).collect();
        for budget in budgets.into_iter().step_by(3) {
            for limit in [1.0, 1.2, 1.5, 3.0] {
                let fitting = || all.iter().filter(|a| a.peak <= budget);
                let within = fitting().filter(|a| a.seconds <= limit - 1.0 + 1e-12);
                let best = within.map(|a| a.error).fold(f64::INFINITY, f64::min);
                let fastest = fitting().map(|a| a.seconds).fold(f64::INFINITY, f64::min);
                match measured.allocate_in_time(budget, limit) {
                    Ok(found) => {
                        let slowdown = measured.slowdown(&found).unwrap();
                        prop_assert!(slowdown <= limit + 1e-9 && found.bytes <= budget, "{found:?}");
                        prop_assert!(found.error >= best - 1e-9, "{found:?} {best}");
                        prop_assert!(found.error - found.gap <= best + 1e-9, "{found:?} {best}");
                    }
                    Err(Error::TooSlow { least, .. }) => {
                        prop_assert!(best.is_infinite() || fastest + 1e-9 > limit - 1.0);
                        prop_assert!((least - 1.0 - fastest).abs() < 1e-9, "{least} {fastest}");
                    }
                    Err(other) => return Err(TestCaseError::fail(other.to_string())),
                }
            }
        }
    }
}

#[test]
fn what_was_not_timed_is_not_promised_to_fit_a_time() {
    let step = large(12, 8);
    let measured = Measured::new(&step.records(), None).unwrap();
    let error = measured.allocate_in_time(u64::MAX, 1.2).unwrap_err();
    assert!(matches!(error, Error::Lacks { .. }), "{error}");
    // A codec without a time is left out.
    let mut times = step.times();
    times.codecs.retain(|time| time.codec == "c1");
    let timed = measured.timed(&times);
    let found = timed.allocate_in_time(timed.exact_bytes() * 9 / 10, 1e6).unwrap();
    assert!(found.codecs.iter().all(|codec| ["none", "c1"].contains(&codec.as_str())), "{found:?}");
    assert!(timed.slowdown(&found).unwrap() > 1.0);
}

#[test]
fn the_error_never_rises_with_the_budget_and_the_bytes_fit() {
    let step = large(60, 8);
    let plain = Measured::new(&step.records(), None).unwrap();
    for whole in [false, true] {
        let recomputing = plain.clone().with_recomputing().unwrap();
        let with = if whole { recomputing.of_steps().unwrap() } else { recomputing };
        let without = if whole { plain.clone().of_steps().unwrap() } else { plain.clone() };
        let mut before = [f64::INFINITY; 2];
        for share in 1..20 {
            let budget = with.exact_bytes() * share / 20;
            for (measured, before) in [&with, &without].into_iter().zip(&mut before) {
                let Ok(found) = measured.allocate(budget, Objective::Sum) else { continue };
                assert!(found.bytes <= budget);
                assert!(found.error - found.gap <= *before, "{share}: {found:?}");
                *before = found.error;
            }
            assert!(before[0] <= before[1], "{share}: recomputing makes it no worse");
        }
        assert_eq!(before[0], 0.0, "all of it by recomputing");
        assert!(before[1] > 0.0);
    }
}

#[test]
fn of_what_is_recomputed_at_most_a_thousandth_of_all_is_in_vain() {
    let step = large(200, 20);
    let measured = Measured::new(&step.records(), None).unwrap().with_recomputing().unwrap();
    for share in [0.3, 0.4, 0.5, 0.7] {
        let budget = (share * measured.exact_bytes() as f64) as u64;
        let found = measured.allocate(budget, Objective::Sum).unwrap();
        assert!(found.error < 1e-11 && found.gap <= 1e-15, "{share}: {found:?}");
    }
}

#[test]
fn without_codecs_only_blocks_are_recomputed_and_as_few_as_will_do() {
    let step = large(20, 8);
    let measured = Measured::new(&step.records(), None).unwrap().with_recomputing().unwrap();
    let measured = measured.without_codecs();
    let exact = measured.exact_bytes();
    assert_eq!(measured.plan(&measured.allocate(exact, Objective::Sum).unwrap()), "none");
    let one = measured.allocate(exact - 1, Objective::Sum).unwrap();
    assert_eq!((one.recomputed.len(), one.error), (1, 0.0));
    assert_eq!(measured.plan(&one), format!("recompute=block{}", one.recomputed[0]));
    let least = match measured.allocate(0, Objective::Sum).unwrap_err() {
        Error::TooSmall { least, .. } => least,
        other => panic!("{other}"),
    };
    let most = measured.allocate(least, Objective::Sum).unwrap();
    assert!(most.recomputed.len() > 1 && most.bytes == least, "{most:?}");
}

#[test]
fn a_log_that_says_nothing_of_steps_is_refused() {
    let measured = Measured::new(&records(&network(3, 2)), None).unwrap();
    for error in [measured.clone().with_recomputing(), measured.of_steps()] {
        let error = error.unwrap_err();
        assert!(
            matches!(error, Error::Lacks { .. }) && error.to_string().contains("measure again")
        );
    }
}
