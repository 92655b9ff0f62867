//! Allocations drawn at random, to compare others with.

use crate::knapsack::least_budget;
use crate::split_mix::SplitMix64;
use crate::stage::Stage;
use crate::{Allocation, Measured, Objective};

/// After so many draws that save nothing there is no cheaper choice left.
const FRUITLESS: usize = 100_000;

impl Measured {
    /// The `draw`-th random allocation that keeps at most `budget` bytes, fixed bytes included: from all
    /// layers exact on, a random layer gets a random codec until that is so, where this saves bytes.
    /// `None` if the budget is too small for it.
    pub fn random(&self, budget: u64, draw: u64) -> Option<Allocation> {
        let stages = Stage::all(&self.without_recomputing(), Objective::Sum);
        if least_budget(&stages) > budget {
            return None;
        }
        let mut random = SplitMix64::new(draw);
        let mut chosen = vec![0; self.layers().len()];
        let mut bytes = self.peak(&chosen, &[]);
        let mut fruitless = 0;
        while bytes.0 > budget {
            let layer = random.below(chosen.len());
            let before = chosen[layer];
            chosen[layer] = random.below(self.layers()[layer].choices.len());
            match self.peak(&chosen, &[]) {
                less if less.1 < bytes.1 => (bytes, fruitless) = (less, 0),
                _ if fruitless == FRUITLESS => return None,
                _ => (chosen[layer], fruitless) = (before, fruitless + 1),
            }
        }
        Some(self.allocation(&chosen, &[], Objective::Sum))
    }
}
