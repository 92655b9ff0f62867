//! Layers that save one tensor, and so may share copies of it.

use std::collections::BTreeMap;

use crate::choices::LayerChoices;
use crate::front::front;
use crate::{Measured, Objective};

/// The most partial combinations of a group that are followed; those with the fewest copies come first.
const MOST_PARTS: usize = 20_000;

/// The layers of a source with the combinations of their choices.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    /// Their numbers, in forward order.
    pub(crate) layers: Vec<usize>,
    /// By rising bytes. Among those whose first layers restore as much, none beats any other in both bytes and error.
    pub(crate) items: Vec<Item>,
    /// Bytes and errors that combinations which were not followed would have had at least.
    pub(crate) not_followed: Vec<(u64, f64)>,
}

/// A choice for each layer of a group.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Item {
    pub(crate) bytes: u64,
    pub(crate) error: f64,
    /// The number of each layer's choice.
    pub(crate) choices: Vec<usize>,
    /// The bytes that the first layer restores at a time; none if it is exact.
    pub(crate) restored: u64,
    /// The most that the step holds beside what is kept up to the stage's end, while the backward pass is in the
    /// stage. A group knows nothing of that.
    pub(crate) above: u64,
}

impl Item {
    pub(crate) fn weight(&self) -> (u64, f64) {
        (self.bytes, self.error)
    }
}

/// A choice for each of the first layers of a group.
struct Part {
    item: Item,
    /// The copies that are kept and that later layers can share.
    held: Vec<usize>,
}

impl Group {
    /// The groups of a network, in the forward order of their first layers.
    pub(crate) fn all(measured: &Measured, objective: Objective) -> Vec<Self> {
        Self::all_of(measured, objective, MOST_PARTS)
    }

    /// The same with at most so many partial combinations in each.
    pub(crate) fn all_of(measured: &Measured, objective: Objective, most: usize) -> Vec<Self> {
        let layers = measured.layers();
        let mut sources: Vec<(u64, Vec<usize>)> = Vec::new();
        for (number, layer) in layers.iter().enumerate() {
            match sources.iter_mut().find(|(source, _)| *source == layer.facts.source) {
                Some((_, numbers)) => numbers.push(number),
                None => sources.push((layer.facts.source, vec![number])),
            }
        }
        let group = |(_, numbers): (u64, Vec<usize>)| {
            let own: Vec<&LayerChoices> = numbers.iter().map(|&number| &layers[number]).collect();
            let (items, not_followed) = combinations(&own, objective, most);
            Self { layers: numbers, items, not_followed }
        };
        sources.into_iter().map(group).collect()
    }
}

/// The combinations that no other beats, and a bound of those that were not followed.
fn combinations(
    layers: &[&LayerChoices],
    objective: Objective,
    most: usize,
) -> (Vec<Item>, Vec<(u64, f64)>) {
    let copies = Copies::of(layers);
    let mut not_followed = Vec::new();
    let start = Item { bytes: 0, error: 0.0, choices: Vec::new(), restored: 0, above: 0 };
    let mut parts = vec![Part { item: start, held: Vec::new() }];
    for (number, layer) in layers.iter().enumerate() {
        let mut longer: Vec<Part> = Vec::new();
        for part in &parts {
            for (choice, of) in layer.choices.iter().enumerate() {
                let copy = copies.number(&of.copy);
                let mut held = part.held.clone();
                let place = held.binary_search(&copy);
                if let Err(place) = place {
                    held.insert(place, copy);
                }
                held.retain(|&copy| copies.last_use[copy] > number);
                let mut choices = part.item.choices.clone();
                choices.push(choice);
                let bytes = part.item.bytes + if place.is_err() { of.bytes } else { 0 };
                let error = objective.add(part.item.error, of.error.mean + of.price);
                let restored = if number == 0 { of.restored_bytes } else { part.item.restored };
                let item = Item { bytes, error, choices, restored, above: 0 };
                longer.push(Part { item, held });
            }
        }
        parts = undominated(longer);
        not_followed.extend(
            parts.drain(parts.len().min(most)..).map(|part| (part.item.bytes, part.item.error)),
        );
    }
    let mut by_restored: BTreeMap<u64, Vec<Item>> = BTreeMap::new();
    for Part { item, .. } in parts {
        by_restored.entry(item.restored).or_default().push(item);
    }
    let fronts = by_restored.into_values().flat_map(|items| front(items, Item::weight));
    let mut items: Vec<Item> = fronts.collect();
    items.sort_by(|a, b| a.bytes.cmp(&b.bytes).then(a.error.total_cmp(&b.error)));
    (items, not_followed)
}

/// The parts that no other beats that holds the same copies; those that hold the fewest come first.
fn undominated(mut parts: Vec<Part>) -> Vec<Part> {
    parts.sort_by(|a, b| {
        let by_copies = a.held.len().cmp(&b.held.len()).then_with(|| a.held.cmp(&b.held));
        let by_first = a.item.restored.cmp(&b.item.restored);
        by_copies
            .then(by_first)
            .then(a.item.bytes.cmp(&b.item.bytes))
            .then(a.item.error.total_cmp(&b.item.error))
    });
    let mut kept: Vec<Part> = Vec::new();
    for part in parts {
        let beaten = |last: &Part| {
            last.held == part.held
                && last.item.restored == part.item.restored
                && last.item.error <= part.item.error
        };
        if !kept.last().is_some_and(beaten) {
            kept.push(part);
        }
    }
    kept
}

/// The copies that the layers of a group can keep.
struct Copies<'a> {
    names: Vec<&'a str>,
    /// The number of the last layer that can use each.
    last_use: Vec<usize>,
}

impl<'a> Copies<'a> {
    fn of(layers: &[&'a LayerChoices]) -> Self {
        let mut copies = Self { names: Vec::new(), last_use: Vec::new() };
        for (number, layer) in layers.iter().enumerate() {
            for choice in &layer.choices {
                match copies.names.iter().position(|name| *name == choice.copy) {
                    Some(copy) => copies.last_use[copy] = number,
                    None => {
                        copies.names.push(&choice.copy);
                        copies.last_use.push(number);
                    }
                }
            }
        }
        copies
    }

    fn number(&self, name: &str) -> usize {
        self.names.iter().position(|known| *known == name).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::knapsack::Knapsack;
    use crate::made::{network, records};
    use crate::stage::Stage;
    use crate::worst;

    #[test]
    fn the_gap_of_combinations_that_were_not_followed_holds_the_best_one() {
        let measured = Measured::new(&records(&network(20, 8)), None).unwrap();
        let mut gaps = 0;
        for objective in [Objective::Sum, Objective::Worst] {
            let all = Group::all(&measured, objective);
            assert!(all.iter().any(|group| group.layers.len() == 3));
            let some = Group::all_of(&measured, objective, 12);
            let solve = |groups: &[Group], budget: u64| {
                let stages = Stage::of_groups(&measured, groups.to_vec());
                match objective {
                    Objective::Sum => Knapsack::new(&stages).solve(budget),
                    Objective::Worst => worst::solve(&stages, budget),
                }
            };
            for share in [0.2, 0.3, 0.4, 0.5, 0.6, 0.7] {
                let budget = (share * measured.exact_bytes() as f64) as u64;
                let (Some(best), Some(found)) = (solve(&all, budget), solve(&some, budget)) else {
                    continue;
                };
                assert_eq!(best.gap, 0.0);
                assert!(found.error >= best.error * (1.0 - 1e-9));
                assert!(found.error - found.gap <= best.error * (1.0 + 1e-9));
                gaps += usize::from(found.gap > 0.0);
            }
        }
        assert!(gaps > 0);
    }
}
