//! The same codec at the same layer in two measurements.

use crate::choices::Choice;
use crate::units::{self, Moves};
use crate::{Estimate, Measured};

impl Measured {
    /// Whether `other` was measured at the same points, with the same seeds and batches.
    pub fn same_batches(&self, other: &Self) -> bool {
        self.clusters == other.clusters
    }

    /// How many times the error here the one in `other` is: the ratio of the roots of the relative squared
    /// errors, with the interval of its logarithm, whose variance follows from those of the errors to first order
    /// (the delta method). If `paired`, which takes [`Measured::same_batches`], what a batch does to both errors
    /// is not taken for a difference; otherwise the errors are independent. `None` if either has no such
    /// measurement, or errors that are 0.
    pub fn ratio_in(
        &self,
        other: &Self,
        layer: &str,
        codec: &str,
        paired: bool,
    ) -> Option<Estimate> {
        let (own, others) = (self.choice(layer, codec)?, other.choice(layer, codec)?);
        let n = own.error.n.min(others.error.n);
        let ratio = (others.error.mean / own.error.mean).sqrt();
        if !ratio.is_finite() {
            return None;
        }
        let apart = |moves: &Moves, by: f64| -> Moves {
            moves.iter().map(|of| of.map(|of| of * by)).collect()
        };
        let known = own.error.interval.and(others.error.interval).is_some();
        if !known || ratio == 0.0 {
            return Some(Estimate { mean: ratio, interval: None, n });
        }
        let mut moves = apart(&own.moves, -0.5 / own.error.mean);
        let more = apart(&others.moves, 0.5 / others.error.mean);
        let units = match paired {
            true => {
                units::add(&mut moves, &more);
                self.units.clone()
            }
            false => {
                moves.extend(more);
                self.units.beside(&other.units)
            }
        };
        let found = units.estimate(ratio.ln(), &moves, n as usize).map(f64::exp);
        Some(Estimate { mean: ratio, ..found })
    }

    fn choice(&self, layer: &str, codec: &str) -> Option<&Choice> {
        let layer = self.layers().iter().find(|choices| choices.facts.layer == layer)?;
        Some(&layer.choices[layer.position(codec).filter(|&place| place > 0)?])
    }
}

#[cfg(test)]
mod tests {
    use packlight_record::{Score, SensitivityRecord};

    use crate::Measured;
    use crate::made::{Layer, facts, score};

    /// A layer's errors of one codec, batch by batch.
    fn measured(errors: &[f64]) -> Measured {
        let layer = Layer { source: 0, raw_bytes: 100, choices: Vec::new() };
        let mut records = vec![SensitivityRecord::Layer(facts(0, &layer))];
        let of_batch = |(batch, error): (u64, &f64)| Score {
            batch,
            state: batch.to_string(),
            ..score("layer0", "q2", 10, *error)
        };
        records.extend((0..).zip(errors).map(of_batch).map(SensitivityRecord::Score));
        Measured::new(&records, None).unwrap()
    }

    #[test]
    fn pairs_of_batches_tell_more_than_two_samples() {
        let first: Vec<f64> = (1..=8).map(|i| f64::from(i * i) / 100.0).collect();
        // Twice the error on each batch, however much batches differ.
        let second: Vec<f64> = first.iter().map(|error| 4.0 * error).collect();
        let (a, b) = (measured(&first), measured(&second));
        assert!(a.same_batches(&b));
        let paired = a.ratio_in(&b, "layer0", "q2", true).unwrap();
        assert!((paired.mean - 2.0).abs() < 1e-12 && paired.n == 8, "{paired:?}");
        let (low, high) = paired.ends();
        assert!(paired.interval.is_some() && high - low < 1e-9, "{paired:?}");
        let apart = a.ratio_in(&b, "layer0", "q2", false).unwrap();
        assert!((apart.mean - 2.0).abs() < 1e-12);
        // The errors are 0.255 on average, with a standard deviation of 0.2258: the standard error of half the
        // logarithm of a mean is 0.1566, and t has 14 degrees of freedom.
        let (low, high) = apart.ends();
        let factor = (2.14479 * 2f64.sqrt() * 0.156_56f64).exp();
        assert!(
            (high / 2.0 - factor).abs() < 1e-3 && (2.0 / low - factor).abs() < 1e-3,
            "{apart:?}"
        );
        let back = b.ratio_in(&a, "layer0", "q2", true).unwrap();
        assert!((back.mean - 0.5).abs() < 1e-12);
    }

    #[test]
    fn what_only_one_has_or_what_is_exact_has_no_ratio() {
        let (a, b) = (measured(&[0.1, 0.2]), measured(&[0.0, 0.0]));
        assert!(a.ratio_in(&b, "layer0", "q4", true).is_none());
        assert!(a.ratio_in(&b, "layer1", "q2", true).is_none());
        assert!(a.ratio_in(&a, "layer0", "none", true).is_none());
        assert!(b.ratio_in(&a, "layer0", "q2", true).is_none());
        assert_eq!(a.ratio_in(&b, "layer0", "q2", true).unwrap().mean, 0.0);
        assert!(!a.same_batches(&measured(&[0.1])));
    }
}
