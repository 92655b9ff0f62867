//! Allocations under a budget, and under all.

use rayon::prelude::*;

use crate::front::front;
use crate::knapsack::{Knapsack, Solution, least_budget};
use crate::stage::Stage;
use crate::{Allocation, Error, Measured, Objective, Result, worst};

/// The most allocations of a frontier that is complete.
const MOST: usize = 500;
/// The number of budgets of one that is not.
const BUDGETS: u32 = 64;

impl Measured {
    /// The allocation within `budget` bytes, fixed bytes included, whose error is least; of those with this
    /// error, the one that keeps the fewest. Large networks can have blocks of which other sets would save up to
    /// a thousandth of what they recompute together, which is then in the gap.
    ///
    /// # Errors
    /// Returns an error that names the least possible budget if `budget` is less.
    pub fn allocate(&self, budget: u64, objective: Objective) -> Result<Allocation> {
        let stages = Stage::all(self, objective);
        match solve(&stages, budget, objective) {
            Some(solution) => Ok(self.allocated(&stages, &solution, objective)),
            None => Err(Error::TooSmall { budget, least: least_budget(&stages) }),
        }
    }

    /// The frontier, by falling bytes: the allocations that no other beats in both bytes and error.
    ///
    /// All of them if these, and those of the first layers alone, are no more than 500; otherwise the
    /// best ones for 64 budgets, evenly spaced on a logarithmic scale from the least possible bytes to
    /// those of the best allocation.
    pub fn frontier(&self, objective: Objective) -> Vec<Allocation> {
        let stages = Stage::all(self, objective);
        let all = match objective {
            Objective::Sum => Knapsack::new(&stages).all(MOST),
            Objective::Worst => worst::all(&stages).filter(|all| all.len() <= MOST),
        };
        let solutions = all.unwrap_or_else(|| self.at_budgets(&stages, objective));
        let found =
            solutions.iter().map(|solution| self.allocated(&stages, solution, objective)).collect();
        let mut frontier = front(found, |found: &Allocation| (found.bytes, found.error));
        frontier.reverse();
        frontier
    }

    /// The solutions for budgets from the least bytes to the most that are of use, by rising bytes.
    fn at_budgets(&self, stages: &[Stage], objective: Objective) -> Vec<Solution> {
        let knapsack = Knapsack::new(stages);
        let solve = |budget: u64| match objective {
            Objective::Sum => knapsack.solve(budget),
            Objective::Worst => worst::solve(stages, budget),
        };
        let Some(best) = solve(u64::MAX) else { return Vec::new() };
        let most = self.allocated(stages, &best, objective).bytes;
        let least = least_budget(stages);
        let ratio = most as f64 / least.max(1) as f64;
        let budgets = (0..BUDGETS).into_par_iter().map(|i| match i {
            0 => least,
            i if i + 1 == BUDGETS => most,
            i => (least as f64 * ratio.powf(f64::from(i) / f64::from(BUDGETS - 1))) as u64,
        });
        let mut solutions: Vec<Solution> = budgets.filter_map(solve).collect();
        solutions.dedup_by(|next, before| {
            (&next.items, &next.recomputed) == (&before.items, &before.recomputed)
        });
        solutions
    }

    fn allocated(&self, stages: &[Stage], solution: &Solution, objective: Objective) -> Allocation {
        let mut chosen = vec![0; self.layers().len()];
        let mut at = 0;
        while let Some(stage) = stages.get(at) {
            let skip = stage.skip.as_ref();
            if let Some(skip) = skip.filter(|skip| solution.recomputed.contains(&skip.block)) {
                at = skip.to;
                continue;
            }
            let choices = stage.items.get(solution.items[at]).map(|item| item.choices.as_slice());
            for (&layer, &choice) in stage.layers.iter().zip(choices.unwrap_or_default()) {
                chosen[layer] = choice;
            }
            at += 1;
        }
        let gap = solution.gap;
        Allocation { gap, ..self.allocation(&chosen, &solution.recomputed, objective) }
    }
}

fn solve(stages: &[Stage], budget: u64, objective: Objective) -> Option<Solution> {
    match objective {
        Objective::Sum => Knapsack::new(stages).solve(budget),
        Objective::Worst => worst::solve(stages, budget),
    }
}

/// The knee of a frontier: the allocation that lies farthest below the line between its ends, in
/// logarithms of bytes and error that are scaled to this line's extent (Satopää et al., Finding a
/// "Kneedle" in a Haystack, 2011, without its smoothing). Allocations without error have no logarithm and
/// are left out; there is no knee if no other lies below the line.
pub fn knee(frontier: &[Allocation]) -> Option<usize> {
    let with_error = || frontier.iter().enumerate().filter(|(_, a)| a.error > 0.0 && a.bytes > 0);
    let logarithms = |a: &Allocation| ((a.bytes as f64).ln(), a.error.ln());
    let (from, to) = (logarithms(with_error().next()?.1), logarithms(with_error().next_back()?.1));
    let below = |allocation: &Allocation| {
        let (bytes, error) = logarithms(allocation);
        (bytes - from.0) / (to.0 - from.0) - (error - from.1) / (to.1 - from.1)
    };
    let distances = with_error().map(|(number, allocation)| (number, below(allocation)));
    let farthest = distances.filter(|(_, below)| *below > 1e-9).max_by(|a, b| a.1.total_cmp(&b.1));
    farthest.map(|(number, _)| number)
}
