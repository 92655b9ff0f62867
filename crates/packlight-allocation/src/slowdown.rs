//! Allocations that also fit a limit of time.

use packlight_record::ChoiceTimes;

use crate::{Allocation, Error, Measured, Objective, Result};

/// The most searches for a price of time.
const SEARCHES: usize = 40;

/// An allocation with the seconds that it adds to a pass.
struct Found {
    allocation: Allocation,
    seconds: f64,
    /// What a search minimises beside time.
    weight: f64,
}

/// What a rounding of the limit or of the seconds may add to what a pass may take.
const ROUNDING: f64 = 1e-9;

/// The seconds that a pass may take more than an exact one.
fn most(limit: f64, pass: f64) -> f64 {
    (limit - 1.0 + ROUNDING) * pass
}

/// The least limit, in thousandths, within which a pass may take so many seconds more.
fn least_limit(seconds: f64, pass: f64) -> f64 {
    let below = (1e3 * seconds / pass).floor();
    let mut limits = (0..3).map(|more| (1e3 + below + f64::from(more)) / 1e3);
    limits.find(|limit| seconds <= most(*limit, pass)).unwrap_or(f64::INFINITY)
}

impl Measured {
    /// The same, with how long choices take. Layers that share a copy each count its packing.
    #[must_use]
    pub fn timed(mut self, times: &ChoiceTimes) -> Self {
        let (layers, timeline) = self.parts();
        for layer in layers {
            let name = &layer.facts.layer;
            for choice in &mut layer.choices[1..] {
                let mut of_layer = times.codecs.iter().filter(|time| time.layer == *name);
                let own = of_layer.find(|time| time.codec == choice.codec);
                choice.seconds = own.map(|time| time.seconds);
            }
        }
        for block in &mut timeline.blocks {
            let own = times.blocks.iter().find(|time| time.block == block.facts.block);
            block.seconds = own.map(|time| time.seconds);
        }
        self.pass_seconds = Some(times.pass);
        self
    }

    /// How many times as long as an exact pass forward and back one with an allocation takes: packing and
    /// restoring, and the forward passes of recomputed blocks, come on top. `None` where a time was not
    /// measured.
    pub fn slowdown(&self, allocation: &Allocation) -> Option<f64> {
        Some(1.0 + self.seconds(allocation)? / self.pass_seconds?)
    }

    fn seconds(&self, allocation: &Allocation) -> Option<f64> {
        let chosen = self.indices(allocation);
        let layers = self.layers().iter().zip(chosen);
        let packing = layers.map(|(layer, choice)| layer.choices[choice].seconds);
        let blocks = &self.timeline().blocks;
        let recomputing = allocation.recomputed.iter().map(|&block| blocks.get(block)?.seconds);
        packing.chain(recomputing).sum()
    }

    /// The allocation within `budget` bytes of which a pass takes at most `limit` times as long as an exact
    /// one, and whose sum of errors is least, up to its gap.
    ///
    /// Time gets a price, which is what an error could be lowered by with it (Lagrange's multiplier, by
    /// Dantzig and Wolfe's cuts); the price that fits the limit also gives the gap.
    ///
    /// # Errors
    /// Returns an error if times were not measured, or there is no such allocation; it names the least budget,
    /// or the slowdown of the fastest allocation.
    pub fn allocate_in_time(&self, budget: u64, limit: f64) -> Result<Allocation> {
        let lacks = Error::Lacks { lacks: "how long the choices take" };
        let Some(pass) = self.pass_seconds else { return Err(lacks) };
        let at_price = |price: f64| -> Result<Found> {
            let allocation = self.priced(price).allocate(budget, Objective::Sum)?;
            let seconds = self.seconds(&allocation).ok_or_else(|| lacks.clone())?;
            let weight = self.weight(&allocation);
            Ok(Found { allocation, seconds, weight })
        };
        let most = most(limit, pass);
        let mut slow = at_price(0.0)?;
        if slow.seconds <= most {
            return Ok(slow.allocation);
        }
        // So dear that errors do not count.
        let errors = self.layers().iter().flat_map(|layer| &layer.choices);
        let weights = errors.map(|choice| choice.error.mean + choice.price);
        let dear = 1e9 * weights.fold(1e-9, f64::max) / pass;
        let mut fast = at_price(dear)?;
        if fast.seconds > most {
            let least = least_limit(fast.seconds, pass);
            return Err(Error::TooSlow { budget, limit, least });
        }
        let mut bound = slow.weight - slow.allocation.gap;
        for _ in 0..SEARCHES {
            let rise = fast.weight - slow.weight;
            let price = (rise / (slow.seconds - fast.seconds)).max(0.0);
            let found = at_price(price)?;
            let cost = |found: &Found| found.weight + price * found.seconds;
            bound = bound.max(cost(&found) - found.allocation.gap - price * most);
            let is_lower = cost(&found) < cost(&slow) * (1.0 - 1e-9);
            if !is_lower {
                break;
            }
            match found.seconds <= most {
                true => fast = found,
                false => slow = found,
            }
        }
        let gap = (fast.weight - bound).max(0.0);
        Ok(Allocation { gap, ..fast.allocation })
    }

    /// The error of an allocation, with what its choices cost beside it.
    fn weight(&self, allocation: &Allocation) -> f64 {
        let chosen = self.layers().iter().zip(self.indices(allocation));
        allocation.error + chosen.map(|(layer, at)| layer.choices[at].price).sum::<f64>()
    }

    /// The same, where a second costs so much in units of error, and choices that were not timed are left
    /// out.
    fn priced(&self, price: f64) -> Self {
        let mut priced = self.clone();
        let (layers, timeline) = priced.parts();
        for layer in layers {
            layer.choices.retain(|choice| choice.seconds.is_some());
            for choice in &mut layer.choices {
                choice.price += price * choice.seconds.unwrap_or_default();
            }
        }
        for block in &mut timeline.blocks {
            block.price = price * block.seconds.unwrap_or_default();
        }
        priced
    }
}

#[cfg(test)]
mod tests {
    use super::{least_limit, most};

    #[test]
    fn the_advised_limit_is_enough_and_a_thousandth_less_is_not() {
        for (seconds, pass) in [(0.0204, 1.0), (0.15, 1.0), (0.3, 2.0), (1e-5, 0.7), (3.7, 0.11)] {
            let limit: f64 = format!("{:.3}", least_limit(seconds, pass)).parse().unwrap();
            assert!(seconds <= most(limit, pass), "{seconds} {pass}: {limit}");
            assert!(seconds > most(limit - 0.001, pass), "{seconds} {pass}: {limit}");
        }
        assert_eq!(least_limit(3.0 * 0.05, 1.0), 1.15);
        assert_eq!(least_limit(0.0204, 1.0), 1.021);
    }
}
