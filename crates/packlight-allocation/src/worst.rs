//! The least worst error under a budget.

use crate::group::Item;
use crate::knapsack::{self, Knapsack, Solution};
use crate::stage::Stage;

/// The solution whose worst error is least, and of those the one with the fewest bytes; `None` if even the
/// cheapest items exceed the budget.
pub(crate) fn solve(stages: &[Stage], budget: u64) -> Option<Solution> {
    let errors = errors(stages);
    let fits = |most: f64| knapsack::fits(&no_worse_than(stages, most).0, budget).is_some();
    let least = errors.partition_point(|&error| !fits(error));
    found(stages, *errors.get(least)?, budget)
}

/// The solutions that no other beats in bytes and in the worst error, by rising bytes, where bytes have to
/// fit only at the end; `None` if they have to elsewhere.
pub(crate) fn all(stages: &[Stage]) -> Option<Vec<Solution>> {
    if stages.iter().any(|stage| stage.most_above() > 0 || stage.skip.is_some()) {
        return None;
    }
    let solutions = errors(stages).into_iter().rev().filter_map(|e| found(stages, e, u64::MAX));
    let mut all: Vec<Solution> = solutions.collect();
    all.dedup_by(|next, before| next.items == before.items);
    Some(all)
}

/// The solution with the fewest bytes whose errors are no larger than `most`.
fn found(stages: &[Stage], most: f64, budget: u64) -> Option<Solution> {
    let (allowed, numbers) = no_worse_than(stages, most);
    let mut solution = Knapsack::new(&allowed).solve(budget)?;
    for (item, numbers) in solution.items.iter_mut().zip(&numbers) {
        *item = numbers[*item];
    }
    let is_recomputed = |at: usize| {
        let mut skips =
            stages.iter().enumerate().filter_map(|(at, stage)| Some((at, stage.skip.as_ref()?)));
        let of = |(from, skip): (usize, &crate::stage::Skip)| {
            (from..skip.to).contains(&at) && solution.recomputed.contains(&skip.block)
        };
        skips.any(of)
    };
    let items = stages.iter().zip(&solution.items).enumerate();
    let errors = items.filter(|(at, _)| !is_recomputed(*at));
    let error = errors.map(|(_, (stage, &item))| stage.items[item].error).fold(0.0, f64::max);
    let least = stages.iter().map(Stage::least_not_followed).fold(error, f64::min);
    Some(Solution { error, gap: error - least, ..solution })
}

/// All errors of items, rising.
fn errors(stages: &[Stage]) -> Vec<f64> {
    let items = stages.iter().flat_map(|stage| &stage.items);
    let mut errors: Vec<f64> = items.map(|item| item.error).collect();
    errors.sort_by(f64::total_cmp);
    errors.dedup();
    errors
}

/// The stages with only the items whose errors are no larger, which count for nothing; and these items' numbers.
/// Each stage has an item without error.
fn no_worse_than(stages: &[Stage], most: f64) -> (Vec<Stage>, Vec<Vec<usize>>) {
    let allowed = |stage: &Stage| {
        let allowed = stage.items.iter().enumerate().filter(|(_, item)| item.error <= most);
        let without_error =
            |(number, item): (usize, &Item)| (Item { error: 0.0, ..item.clone() }, number);
        let (items, numbers) = allowed.map(without_error).unzip();
        (Stage { items, not_followed: Vec::new(), ..stage.clone() }, numbers)
    };
    stages.iter().map(allowed).unzip()
}
