//! Allocates bits of a common budget to several tensors.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// The most bits of a code.
pub(crate) const MOST: u8 = 8;

/// Something that shares a budget.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item {
    /// It adds this / (2^bits - 1)^2 to the variance of the gradient.
    pub(crate) sensitivity: f64,
    /// The part of the budget that each of its bits takes; more than 0.
    pub(crate) weight: f64,
}

/// Bits of 1 to 8 for each item, whose weighted sum is within `budget` if one bit each is: the
/// greedy minimum of the sum of sensitivity / (2^bits - 1)^2.
///
/// All start at 8 bits. Then, one at a time, a bit is taken where that adds least variance per weight
/// (Chen et al., "ActNN", ICML 2021). With equal weights the allocation is optimal.
pub(crate) fn allocate(items: &[Item], budget: f64) -> Vec<u8> {
    let mut bits = vec![MOST; items.len()];
    let mut taken: f64 = items.iter().map(|item| item.weight * f64::from(MOST)).sum();
    let candidate = |index: usize, bits: u8| Reverse(Cost { cost: items[index].cost(bits), index });
    let mut candidates: BinaryHeap<_> = (0..items.len()).map(|i| candidate(i, MOST)).collect();
    while taken > budget
        && let Some(Reverse(Cost { index, .. })) = candidates.pop()
    {
        bits[index] -= 1;
        taken -= items[index].weight;
        if bits[index] > 1 {
            candidates.push(candidate(index, bits[index]));
        }
    }
    bits
}

impl Item {
    /// The variance that taking one of `bits` bits adds, per weight.
    fn cost(&self, bits: u8) -> f64 {
        let of = |bits: u8| (f64::from(1u16 << bits) - 1.0).powi(-2);
        self.sensitivity * (of(bits - 1) - of(bits)) / self.weight
    }
}

/// By cost, and by index where costs are equal.
struct Cost {
    cost: f64,
    index: usize,
}

impl Ord for Cost {
    fn cmp(&self, other: &Self) -> Ordering {
        self.cost.total_cmp(&other.cost).then(self.index.cmp(&other.index))
    }
}

impl PartialOrd for Cost {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Cost {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Cost {}

#[cfg(test)]
mod tests {
    use super::*;
    use packlight_kernels::rng::{Key, Purpose};

    fn objective(items: &[Item], bits: &[u8]) -> f64 {
        let variance = |(item, &bits): (&Item, &u8)| {
            item.sensitivity / (f64::from(1u16 << bits) - 1.0).powi(2)
        };
        items.iter().zip(bits).map(variance).sum()
    }

    /// The least objective of all allocations of four items within a budget.
    fn brute_force(items: &[Item], budget: f64) -> f64 {
        let mut best = f64::INFINITY;
        for code in 0..8u16.pow(4) {
            let bits = [0, 3, 6, 9].map(|shift| (code >> shift & 7) as u8 + 1);
            let taken: f64 = items.iter().zip(bits).map(|(i, b)| i.weight * f64::from(b)).sum();
            if taken <= budget {
                best = best.min(objective(items, &bits));
            }
        }
        best
    }

    #[test]
    fn with_equal_weights_nothing_is_better_and_more_sensitive_items_get_no_fewer_bits() {
        let mut stream = Key::new(4, Purpose::Sample).stream();
        for case in 0..200 {
            let items: [Item; 4] = std::array::from_fn(|_| Item {
                sensitivity: (3.0 * stream.normal()).exp(),
                weight: 1.0,
            });
            let budget = f64::from(4 + case % 29);
            let bits = allocate(&items, budget);
            assert!(bits.iter().map(|&b| f64::from(b)).sum::<f64>() <= budget);
            let (found, best) = (objective(&items, &bits), brute_force(&items, budget));
            assert!(found <= best * (1.0 + 1e-12), "{items:?}: {bits:?}, {found} {best}");
            for (a, a_bits) in items.iter().zip(&bits) {
                for (b, b_bits) in items.iter().zip(&bits) {
                    assert!(a.sensitivity <= b.sensitivity || a_bits >= b_bits);
                }
            }
        }
    }

    #[test]
    fn weights_and_impossible_budgets() {
        let of = |sensitivity, weight| Item { sensitivity, weight };
        // The same variance for a hundred times the memory: the large one gives its bits first.
        let bits = allocate(&[of(1.0, 100.0), of(1.0, 1.0)], 408.0);
        assert_eq!(bits, [4, 8]);
        assert_eq!(allocate(&[of(1.0, 1.0), of(0.0, 1.0)], 0.0), [1, 1]);
        assert_eq!(allocate(&[of(f64::NAN, 1.0), of(1.0, 1.0)], 9.0), [8, 1]);
        assert!(allocate(&[], 3.0).is_empty());
    }
}
