//! The least sum of errors under a budget.

use crate::curve::Curve;
use crate::front::front;
use crate::group::Item;
use crate::stage::{PRICE, Skip, Stage};

/// The most labels that a stage goes on with, in one search after the other: what a narrow one finds bounds
/// the next one. The first one finds something at little cost.
const MOST_LABELS: [usize; 5] = [10, 100, 1_000, 10_000, 50_000];
/// A search of so many labels is made only where the gap is more than [`NEGLIGIBLE`].
const MANY_LABELS: usize = 10_000;
/// The price of recomputing a thousandth of what all blocks save. Where codecs are not needed, errors are such
/// prices alone, which many sets of blocks have nearly alike; to tell them apart takes most of the time.
const NEGLIGIBLE: f64 = PRICE / 1000.0;
/// By what share a bound must exceed the best known error to be worse for certain: sums of a thousand
/// numbers in another order differ by less.
const ROUNDING: f64 = 1e-11;

/// A multiple-choice knapsack problem: one item of each stage, so that the bytes fit a budget and the
/// sum of the errors is least (Kellerer, Pferschy and Pisinger, Knapsack Problems, chapter 11). Two things
/// are added: the bytes must fit at each stage, together with what is held there beside them, and a block
/// of stages may be skipped.
pub(crate) struct Knapsack<'a> {
    stages: &'a [Stage],
    /// The relaxation of the stages from each one on, and that of none.
    rest: Vec<Curve>,
    /// The relaxation of the stages up to each one that is in no block, with what the step holds there above what
    /// is kept.
    heads: Vec<(usize, Curve)>,
}

/// An item of each stage.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Solution {
    /// Those of stages that are skipped do not count.
    pub(crate) items: Vec<usize>,
    /// The blocks that are skipped.
    pub(crate) recomputed: Vec<usize>,
    pub(crate) error: f64,
    /// How much lower the error could be at most.
    pub(crate) gap: f64,
}

/// An item of each of the first stages.
#[derive(Debug, Clone, Copy)]
struct Label {
    bytes: u64,
    error: f64,
    /// The least error of it and of what lies ahead.
    bound: f64,
    /// The stage that it goes on from, and the label there.
    parent: (usize, usize),
    /// `None` if that stage and those behind it are skipped.
    item: Option<usize>,
}

impl Label {
    fn weight(&self) -> (u64, f64) {
        (self.bytes, self.error)
    }
}

const START: Label = Label { bytes: 0, error: 0.0, bound: 0.0, parent: (0, 0), item: None };

/// Bounds of the error of what lies ahead, under one budget.
struct Bounds<'a> {
    /// To the end.
    rest: &'a [Curve],
    left_at_end: u64,
    /// To the stage where the budget is tightest, which holds more beside what is kept than the end does, and
    /// whose bytes are with that.
    tightest: Vec<Curve>,
    budget: u64,
}

impl Bounds<'_> {
    /// The least error of what keeps so many bytes and has this error before a stage, and of what lies ahead.
    fn of(&self, stage: usize, bytes: u64, error: f64) -> f64 {
        let least = |curve: &Curve, left: u64| {
            left.checked_sub(bytes).and_then(|left| curve.at(left)).unwrap_or(f64::INFINITY)
        };
        let to_end = least(&self.rest[stage], self.left_at_end);
        let to_tightest = self.tightest.get(stage).map_or(0.0, |c| least(c, self.budget));
        error + to_end.max(to_tightest)
    }
}

impl<'a> Knapsack<'a> {
    pub(crate) fn new(stages: &'a [Stage]) -> Self {
        Self { stages, rest: relaxed(stages), heads: heads(stages) }
    }

    /// The solution of least error, and of those the one with the fewest bytes; `None` if even the
    /// cheapest items exceed the budget.
    ///
    /// Stage by stage, a label is kept unless another one has no more bytes and no larger error, or
    /// unless its error and the relaxation of the remaining stages exceed a solution that is known.
    pub(crate) fn solve(&self, budget: u64) -> Option<Solution> {
        self.search(budget, &MOST_LABELS)
    }

    /// The same with at most so many labels at each stage, in one search after the other.
    fn search(&self, budget: u64, most: &[usize]) -> Option<Solution> {
        fits(self.stages, budget)?;
        let bounds = self.bounds(budget);
        let mut best: Option<Solution> = None;
        for &most in most {
            let known = best.as_ref().map_or(f64::INFINITY, |best| best.error);
            if most >= MANY_LABELS && best.as_ref().is_some_and(|best| best.gap <= NEGLIGIBLE) {
                break;
            }
            let Some((mut found, dropped)) = self.narrow(budget, most, known, &bounds) else {
                break; // by rounding alone: the known solution is one
            };
            found.gap = (found.error - dropped.min(self.not_followed(budget))).max(0.0);
            let is_done = dropped > found.error * (1.0 + ROUNDING);
            best = Some(found);
            if is_done {
                break;
            }
        }
        best
    }

    fn bounds(&self, budget: u64) -> Bounds<'_> {
        let at_end = self.stages.last().filter(|stage| !stage.in_block).map_or(0, Stage::above);
        let mut tightest = (0, 0.0);
        for (number, head) in &self.heads {
            let holds_more = self.stages[*number].most_above() > at_end;
            let error = if holds_more { head.at(budget).unwrap_or_default() } else { 0.0 };
            if error > tightest.1 {
                tightest = (number + 1, error);
            }
        }
        let (count, _) = tightest;
        let mut stages = self.stages[..count].to_vec();
        if let Some(last) = stages.last_mut() {
            last.items.iter_mut().for_each(|item| item.bytes += item.above);
        }
        let mut curves = relaxed(&stages);
        curves.truncate(count); // behind it there is no bound
        let left_at_end = budget.saturating_sub(at_end);
        Bounds { rest: &self.rest, left_at_end, tightest: curves, budget }
    }

    /// A search with at most so many labels at each stage, where a solution of error `known` is known. Also
    /// the least bound of the labels that it dropped.
    fn narrow(
        &self,
        budget: u64,
        most: usize,
        known: f64,
        bounds: &Bounds<'_>,
    ) -> Option<(Solution, f64)> {
        let limit = known * (1.0 + ROUNDING);
        let mut dropped = f64::INFINITY;
        let count = self.stages.len();
        let mut labels: Vec<Vec<Label>> = vec![Vec::new(); count + 1];
        labels[0].push(START);
        for (at, stage) in self.stages.iter().enumerate() {
            let mut here = front(std::mem::take(&mut labels[at]), Label::weight);
            if here.len() > most {
                // The first of them has the fewest bytes, so that something fits behind it.
                here[1..].select_nth_unstable_by(most - 1, |a, b| a.bound.total_cmp(&b.bound));
                dropped = here.drain(most..).map(|label| label.bound).fold(dropped, f64::min);
                here.sort_by_key(|label| label.bytes);
            }
            for (number, label) in here.iter().enumerate() {
                let parent = (at, number);
                for (item, of) in stage.items.iter().enumerate() {
                    let (bytes, error) = (label.bytes + of.bytes, label.error + of.error);
                    let bound = bounds.of(at + 1, bytes, error);
                    if bytes + of.above <= budget && bound <= limit {
                        let next = Label { bytes, error, bound, parent, item: Some(item) };
                        labels[at + 1].push(next);
                    }
                }
                if let Some(skip) = &stage.skip {
                    let (bytes, error) = (label.bytes + skip.kept, label.error + skip.price);
                    let bound = bounds.of(skip.to, bytes, error);
                    if label.bytes + skip.peak <= budget && bound <= limit {
                        let next = Label { bytes, error, bound, parent, item: None };
                        labels[skip.to].push(next);
                    }
                }
            }
            labels[at] = here;
        }
        let last = front(std::mem::take(&mut labels[count]), Label::weight).pop()?;
        Some((self.trace(&labels, last), dropped))
    }

    /// The solution that a label behind the last stage stands for.
    fn trace(&self, labels: &[Vec<Label>], last: Label) -> Solution {
        let mut solution = Solution {
            items: vec![0; self.stages.len()],
            recomputed: Vec::new(),
            error: last.error,
            gap: 0.0,
        };
        let (mut label, mut end) = (last, self.stages.len());
        while end > 0 {
            let (stage, number) = label.parent;
            match (label.item, &self.stages[stage].skip) {
                (Some(item), _) => solution.items[stage] = item,
                (None, Some(skip)) => solution.recomputed.push(skip.block),
                (None, None) => {} // a label without an item comes from a skip
            }
            (label, end) = (labels[stage][number], stage);
        }
        solution.recomputed.reverse();
        solution
    }

    /// A bound of what combinations that were not followed could reach; infinite if there are none.
    fn not_followed(&self, budget: u64) -> f64 {
        if self.stages.iter().all(|stage| stage.not_followed.is_empty()) {
            return f64::INFINITY;
        }
        let optimistic: Vec<Stage> = self.stages.iter().map(Stage::optimistic).collect();
        relaxed(&optimistic)[0].at(budget).unwrap_or(f64::INFINITY)
    }

    /// All solutions that no other beats, by rising bytes, where bytes have to fit only at the end; `None`
    /// if they have to elsewhere, or if at some stage there are more than `most`.
    pub(crate) fn all(&self, most: usize) -> Option<Vec<Solution>> {
        let mut labels = vec![vec![START]];
        for (at, stage) in self.stages.iter().enumerate() {
            if stage.most_above() > 0 || stage.skip.is_some() || !stage.not_followed.is_empty() {
                return None;
            }
            let mut next = Vec::new();
            for (number, label) in labels[at].iter().enumerate() {
                next.extend(stage.items.iter().enumerate().map(|(item, of)| Label {
                    bytes: label.bytes + of.bytes,
                    error: label.error + of.error,
                    bound: 0.0,
                    parent: (at, number),
                    item: Some(item),
                }));
            }
            let next = front(next, Label::weight);
            if next.len() > most {
                return None;
            }
            labels.push(next);
        }
        let last = labels.last().into_iter().flatten();
        Some(last.map(|label| self.trace(&labels, *label)).collect())
    }
}

/// The relaxations of the stages from each one on, and that of none.
fn relaxed(stages: &[Stage]) -> Vec<Curve> {
    let mut rest = vec![Curve::nothing(); stages.len() + 1];
    // Those of the rest of a block alone.
    let mut within = rest.clone();
    let mut block_end = stages.len();
    for (at, stage) in stages.iter().enumerate().rev() {
        let hull = hull(stage);
        if !stage.in_block {
            rest[at] = hull.plus(&rest[at + 1]);
            continue;
        }
        if at + 1 == stages.len() || !stages[at + 1].in_block || stages[at + 1].skip.is_some() {
            block_end = at + 1;
        }
        let next = if at + 1 == block_end { Curve::nothing() } else { within[at + 1].clone() };
        within[at] = hull.plus(&next);
        rest[at] = match &stage.skip {
            Some(Skip { kept, price, .. }) => within[at].or((*kept, *price)).plus(&rest[block_end]),
            None => within[at].plus(&rest[block_end]),
        };
    }
    rest
}

/// The relaxations of the stages up to each one that is in no block, with what it holds above, and its number.
fn heads(stages: &[Stage]) -> Vec<(usize, Curve)> {
    let mut heads = Vec::new();
    let mut head = Curve::nothing();
    let mut at = 0;
    while let Some(stage) = stages.get(at) {
        match &stage.skip {
            Some(Skip { to, kept, price, .. }) => {
                let block = stages[at..*to].iter().map(hull);
                let block = block.fold(Curve::nothing(), |some, one| some.plus(&one));
                head = head.plus(&block.or((*kept, *price)));
                at = *to;
            }
            None => {
                let peaks = stage.items.iter().map(|item| (item.bytes + item.above, item.error));
                heads.push((at, head.plus(&hull_of(peaks))));
                head = head.plus(&hull(stage));
                at += 1;
            }
        }
    }
    heads
}

fn hull(stage: &Stage) -> Curve {
    hull_of(stage.items.iter().map(Item::weight))
}

fn hull_of(weights: impl Iterator<Item = (u64, f64)>) -> Curve {
    Curve::hull(front(weights.collect(), |weight| *weight).into_iter())
}

/// The fewest bytes with which all stages can be passed within a budget; `None` if they cannot.
pub(crate) fn fits(stages: &[Stage], budget: u64) -> Option<u64> {
    let mut least: Vec<Option<u64>> = vec![None; stages.len() + 1];
    least[0] = Some(0);
    for (at, stage) in stages.iter().enumerate() {
        let Some(before) = least[at] else { continue };
        let mut reach = |to: usize, bytes: u64, peak: u64| {
            if peak <= budget {
                least[to] = Some(least[to].map_or(bytes, |known| known.min(bytes)));
            }
        };
        for item in &stage.items {
            reach(at + 1, before + item.bytes, before + item.bytes + item.above);
        }
        if let Some(skip) = &stage.skip {
            reach(skip.to, before + skip.kept, before + skip.peak);
        }
    }
    least.pop().flatten()
}

/// The least budget with which all stages can be passed.
pub(crate) fn least_budget(stages: &[Stage]) -> u64 {
    let (mut too_small, mut enough) = (0, 0);
    let mut kept = 0;
    for stage in stages {
        let Some(cheapest) = stage.items.first() else { continue };
        kept += cheapest.bytes;
        enough = enough.max(kept + cheapest.above);
    }
    if fits(stages, too_small).is_some() {
        return too_small;
    }
    while too_small + 1 < enough {
        let middle = too_small.midpoint(enough);
        match fits(stages, middle) {
            Some(_) => enough = middle,
            None => too_small = middle,
        }
    }
    enough
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made::{network, records};
    use crate::{Measured, Objective};

    #[test]
    fn the_gap_of_a_search_that_is_cut_short_holds_the_best_solution() {
        let measured = Measured::new(&records(&network(40, 8)), None).unwrap();
        let stages = Stage::all(&measured, Objective::Sum);
        let knapsack = Knapsack::new(&stages);
        let mut gaps = 0;
        for share in [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8] {
            let budget = (share * measured.exact_bytes() as f64) as u64;
            let Some(best) = knapsack.solve(budget) else { continue };
            assert_eq!(best.gap, 0.0);
            for most in [1, 2, 10] {
                let found = knapsack.search(budget, &[most]).unwrap();
                assert!(found.error >= best.error * (1.0 - ROUNDING), "{share}, {most}");
                let least = found.error - found.gap;
                assert!(least <= best.error * (1.0 + ROUNDING), "{share}, {most}");
                gaps += usize::from(found.gap > 0.0);
            }
        }
        assert!(gaps > 0);
    }
}
