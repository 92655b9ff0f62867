//! Allocations under a budget, and under all.

use crate::group::Group;
use crate::knapsack::{Knapsack, Solution};
use crate::{Allocation, Error, Measured, Objective, Result, worst};

/// The most allocations of a frontier that is complete.
const MOST: usize = 500;
/// The number of budgets of one that is not.
const BUDGETS: u32 = 64;

impl Measured {
    /// The allocation that keeps at most `budget` bytes, fixed bytes included, and whose error is
    /// least; of those with this error, the one that keeps the fewest.
    ///
    /// # Errors
    /// Returns an error that names the least possible budget if `budget` is less.
    pub fn allocate(&self, budget: u64, objective: Objective) -> Result<Allocation> {
        let groups = Group::all(self, objective);
        let solution = budget.checked_sub(self.fixed_bytes()).and_then(|left| match objective {
            Objective::Sum => Knapsack::new(&groups).solve(left),
            Objective::Worst => {
                let fits = |solution: &Solution| bytes(&groups, solution) <= left;
                worst::all(&groups).into_iter().take_while(fits).last()
            }
        });
        match solution {
            Some(solution) => Ok(self.allocated(&groups, &solution)),
            None => Err(Error::TooSmall { budget, least: self.fixed_bytes() + least(&groups) }),
        }
    }

    /// The frontier, by falling bytes: the allocations that no other beats in both bytes and error.
    ///
    /// All of them if these, and those of the first layers alone, are no more than 500; otherwise the
    /// best ones for 64 budgets, evenly spaced on a logarithmic scale from the least possible bytes to
    /// those of the best allocation.
    pub fn frontier(&self, objective: Objective) -> Vec<Allocation> {
        let groups = Group::all(self, objective);
        let knapsack = Knapsack::new(&groups);
        let mut solutions = match objective {
            Objective::Sum => knapsack
                .all(MOST)
                .unwrap_or_else(|| at_budgets(&groups, |budget| knapsack.solve(budget))),
            Objective::Worst => {
                let all = worst::all(&groups);
                match all.len() > MOST {
                    false => all,
                    true => at_budgets(&groups, |budget| {
                        let fitting =
                            all.partition_point(|solution| bytes(&groups, solution) <= budget);
                        Some(all[fitting.checked_sub(1)?].clone())
                    }),
                }
            }
        };
        solutions.reverse();
        solutions.iter().map(|solution| self.allocated(&groups, solution)).collect()
    }

    fn allocated(&self, groups: &[Group], solution: &Solution) -> Allocation {
        let mut chosen = vec![0; self.layers().len()];
        for (group, &item) in groups.iter().zip(&solution.items) {
            for (&layer, &choice) in group.layers.iter().zip(&group.items[item].choices) {
                chosen[layer] = choice;
            }
        }
        self.allocation(&chosen, solution.error, solution.gap)
    }
}

/// The solutions for budgets from the least bytes to the most that are of use, by rising bytes.
fn at_budgets(groups: &[Group], solve: impl Fn(u64) -> Option<Solution>) -> Vec<Solution> {
    let most: u64 =
        groups.iter().filter_map(|group| group.items.last()).map(|item| item.bytes).sum();
    let least = least(groups);
    let ratio = most as f64 / least.max(1) as f64;
    let budgets = (0..BUDGETS).map(|i| match i {
        0 => least,
        i if i + 1 == BUDGETS => most,
        i => (least as f64 * ratio.powf(f64::from(i) / f64::from(BUDGETS - 1))) as u64,
    });
    let mut solutions: Vec<Solution> = budgets.filter_map(solve).collect();
    solutions.dedup_by(|next, before| next.items == before.items);
    solutions
}

fn least(groups: &[Group]) -> u64 {
    groups.iter().filter_map(|group| group.items.first()).map(|item| item.bytes).sum()
}

fn bytes(groups: &[Group], solution: &Solution) -> u64 {
    groups.iter().zip(&solution.items).map(|(group, &item)| group.items[item].bytes).sum()
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
