//! The least sum of errors under a budget.

use crate::curve::Curve;
use crate::group::Group;

/// The most labels that a stage goes on with.
const MOST_LABELS: usize = 50_000;
/// By what share a bound must exceed the best known error to be worse for certain: sums of a thousand
/// numbers in another order differ by less.
const ROUNDING: f64 = 1e-11;

/// A multiple-choice knapsack problem: one item of each group, so that the bytes fit a budget and the
/// sum of the errors is least (Kellerer, Pferschy and Pisinger, Knapsack Problems, chapter 11).
pub(crate) struct Knapsack<'a> {
    groups: &'a [Group],
    /// The relaxation of the groups from each one on, and that of none.
    rest: Vec<Curve>,
}

/// An item of each group.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Solution {
    pub(crate) items: Vec<usize>,
    pub(crate) error: f64,
    /// How much lower the error could be at most.
    pub(crate) gap: f64,
}

/// An item of each of the first groups.
#[derive(Debug, Clone, Copy)]
struct Label {
    bytes: u64,
    error: f64,
    /// The label of the stage before that it goes on from.
    parent: usize,
    item: usize,
}

const START: Label = Label { bytes: 0, error: 0.0, parent: 0, item: 0 };

impl<'a> Knapsack<'a> {
    pub(crate) fn new(groups: &'a [Group]) -> Self {
        let mut rest = vec![Curve::nothing()];
        for group in groups.iter().rev() {
            let hull = Curve::hull(group.items.iter().map(|item| (item.bytes, item.error)));
            rest.push(hull.plus(&rest[rest.len() - 1]));
        }
        rest.reverse();
        Self { groups, rest }
    }

    /// The solution of least error, and of those the one with the fewest bytes; `None` if even the
    /// cheapest items exceed the budget.
    ///
    /// Group by group, a label is kept unless another one has no more bytes and no larger error, or
    /// unless its error and the relaxation of the remaining groups exceed a solution that is known.
    pub(crate) fn solve(&self, budget: u64) -> Option<Solution> {
        self.search(budget, MOST_LABELS)
    }

    /// The same with at most so many labels at each stage.
    fn search(&self, budget: u64, most: usize) -> Option<Solution> {
        let mut best = self.rest[0].vertex(budget)?;
        let mut dropped = f64::INFINITY;
        let mut stages = vec![vec![START]];
        for (group, rest) in self.groups.iter().zip(&self.rest[1..]) {
            let bound = |label: &Label| {
                let least = budget.checked_sub(label.bytes).and_then(|left| rest.at(left));
                least.map_or(f64::INFINITY, |least| label.error + least)
            };
            let reached = |label: &Label| {
                let whole = budget.checked_sub(label.bytes).and_then(|left| rest.vertex(left));
                whole.map_or(f64::INFINITY, |whole| label.error + whole)
            };
            let labels = stages.last().map_or(&[][..], Vec::as_slice);
            let mut next = extend(labels, group, |label| {
                best = best.min(reached(label));
                bound(label) <= best * (1.0 + ROUNDING)
            });
            next.retain(|label| bound(label) <= best * (1.0 + ROUNDING));
            if next.len() > most {
                // The first of them leads to the best solution that is known.
                next.sort_by(|a, b| bound(a).total_cmp(&bound(b)));
                let best_reached = |a: &(usize, &Label), b: &(usize, &Label)| {
                    reached(a.1).total_cmp(&reached(b.1))
                };
                if let Some((at, _)) = next.iter().enumerate().min_by(best_reached) {
                    next[..=at].rotate_right(1);
                }
                let least = next.drain(most..).map(|label| bound(&label));
                dropped = least.fold(dropped, f64::min);
                next.sort_by_key(|label| label.bytes);
            }
            stages.push(next);
        }
        let last = stages.last()?.len().checked_sub(1)?;
        let mut solution = trace(&stages, last);
        solution.gap = (solution.error - dropped.min(self.bound(budget))).max(0.0);
        Some(solution)
    }

    /// A bound of what combinations that were not followed could reach; infinite if there are none.
    fn bound(&self, budget: u64) -> f64 {
        if self.groups.iter().all(|group| group.not_followed.is_empty()) {
            return f64::INFINITY;
        }
        let hulls = self.groups.iter().map(|group| Curve::hull(group.optimistic().into_iter()));
        let all = hulls.fold(Curve::nothing(), |all, hull| all.plus(&hull));
        all.at(budget).unwrap_or(f64::INFINITY)
    }

    /// All solutions that no other beats, by rising bytes; `None` if at some stage there are more than
    /// `most`.
    pub(crate) fn all(&self, most: usize) -> Option<Vec<Solution>> {
        let mut stages = vec![vec![START]];
        for group in self.groups {
            let labels = stages.last().map_or(&[][..], Vec::as_slice);
            let next = extend(labels, group, |_| true);
            if next.len() > most || !group.not_followed.is_empty() {
                return None;
            }
            stages.push(next);
        }
        let count = stages.last().map_or(0, Vec::len);
        Some((0..count).map(|label| trace(&stages, label)).collect())
    }
}

/// Each label with each item of a group, where `keep` says so and no other label beats it; by rising
/// bytes and falling error.
fn extend(labels: &[Label], group: &Group, mut keep: impl FnMut(&Label) -> bool) -> Vec<Label> {
    let mut longer = Vec::new();
    for (parent, label) in labels.iter().enumerate() {
        for (number, item) in group.items.iter().enumerate() {
            let (bytes, error) = (label.bytes + item.bytes, label.error + item.error);
            let label = Label { bytes, error, parent, item: number };
            if keep(&label) {
                longer.push(label);
            }
        }
    }
    longer.sort_by(|a, b| a.bytes.cmp(&b.bytes).then(a.error.total_cmp(&b.error)));
    let mut least = f64::INFINITY;
    longer.retain(|label| {
        label.error < least && {
            least = label.error;
            true
        }
    });
    longer
}

/// The solution that a label of the last stage stands for.
fn trace(stages: &[Vec<Label>], label: usize) -> Solution {
    let mut at = label;
    let mut items = Vec::new();
    for stage in stages[1..].iter().rev() {
        items.push(stage[at].item);
        at = stage[at].parent;
    }
    items.reverse();
    let error = stages.last().map_or(0.0, |last| last[label].error);
    Solution { items, error, gap: 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made::{network, records};
    use crate::{Measured, Objective};

    #[test]
    fn the_gap_of_a_search_that_is_cut_short_holds_the_best_solution() {
        let measured = Measured::new(&records(&network(40, 8)), None).unwrap();
        let groups = Group::all(&measured, Objective::Sum);
        let knapsack = Knapsack::new(&groups);
        let mut gaps = 0;
        for share in [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8] {
            let budget = (share * measured.exact_bytes() as f64) as u64;
            let Some(best) = knapsack.solve(budget) else { continue };
            assert_eq!(best.gap, 0.0);
            for most in [1, 2, 10] {
                let found = knapsack.search(budget, most).unwrap();
                assert!(found.error >= best.error * (1.0 - ROUNDING), "{share}, {most}");
                let least = found.error - found.gap;
                assert!(least <= best.error * (1.0 + ROUNDING), "{share}, {most}");
                gaps += usize::from(found.gap > 0.0);
            }
        }
        assert!(gaps > 0);
    }
}
