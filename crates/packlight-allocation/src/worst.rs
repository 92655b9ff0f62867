//! The least worst error under a budget.

use crate::group::Group;
use crate::knapsack::Solution;

/// All solutions that no other beats in bytes and in the error of the worst layer, by rising bytes.
///
/// From the cheapest items on, the group with the worst error gets its next better item: nothing else
/// makes the worst error smaller.
pub(crate) fn all(groups: &[Group]) -> Vec<Solution> {
    let mut items = vec![0; groups.len()];
    let mut found: Vec<Solution> = Vec::new();
    loop {
        let errors = groups.iter().zip(&items).map(|(group, &item)| group.items[item].error);
        let worst = errors.enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
        let (group, error) = worst.unwrap_or((0, 0.0));
        if found.last().is_none_or(|last| error < last.error) {
            let least = groups.iter().map(Group::least_not_followed).fold(error, f64::min);
            found.push(Solution { items: items.clone(), error, gap: error - least });
        }
        match groups.get(group) {
            Some(of) if items[group] + 1 < of.items.len() => items[group] += 1,
            _ => return found,
        }
    }
}
