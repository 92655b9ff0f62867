//! The same codec at the same layer in two measurements.

use crate::estimate::interval;
use crate::{Estimate, Measured};

impl Measured {
    /// Whether `other` was measured at the same points, with the same seeds and batches.
    pub fn same_batches(&self, other: &Self) -> bool {
        self.clusters == other.clusters
    }

    /// How many times the error here the one in `other` is: the ratio of the roots of the relative squared
    /// errors, with its bootstrap interval. If `paired`, both draw the same batches in each resample,
    /// which takes [`Measured::same_batches`]; otherwise their draws are independent. `None` if either
    /// has no such measurement, or errors that are 0.
    pub fn ratio_in(
        &self,
        other: &Self,
        layer: &str,
        codec: &str,
        paired: bool,
    ) -> Option<Estimate> {
        let (own, mean, n) = self.resampled(layer, codec)?;
        let (mut others, other_mean, other_n) = other.resampled(layer, codec)?;
        if !paired {
            // All bootstraps draw by the same random numbers; those of other resamples are independent.
            others.rotate_left(own.len() / 2);
        }
        let ratio = |own: f64, other: f64| (other / own).sqrt();
        let resampled: Vec<f64> = own.iter().zip(&others).map(|(a, b)| ratio(*a, *b)).collect();
        let mean = ratio(mean, other_mean);
        let defined = resampled.iter().chain([&mean]).all(|ratio| ratio.is_finite());
        defined.then(|| interval(mean, resampled, n.min(other_n)))
    }

    /// The mean error of a codec at a layer in each resample, that of the measurement, and its number of
    /// batches.
    fn resampled(&self, layer: &str, codec: &str) -> Option<(Vec<f64>, f64, usize)> {
        let layer = self.layers().iter().find(|choices| choices.facts.layer == layer)?;
        let choice = &layer.choices[layer.position(codec).filter(|&place| place > 0)?];
        Some((choice.resampled.clone(), choice.error.mean, choice.error.n as usize))
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
        assert!(paired.high - paired.low < 1e-9, "{paired:?}");
        let apart = a.ratio_in(&b, "layer0", "q2", false).unwrap();
        assert!((apart.mean - 2.0).abs() < 1e-12);
        assert!(apart.low < 1.7 && apart.high > 2.4, "{apart:?}");
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
