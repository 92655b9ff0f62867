//! The difference between two plans, seed by seed.
//!
//! Runs with the same seed share initial weights and the order of samples, so the difference within a
//! seed varies far less than the accuracies do.

use super::student::{half_interval, tail};

/// The fewest common seeds for an interval or a test.
pub(crate) const FEWEST: u64 = 3;

/// Differences of a quantity between two plans over their common seeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Paired {
    /// The number of common seeds.
    pub(crate) n: u64,
    pub(crate) mean: f64,
    /// Sample standard deviation of the differences, at least that which their rounding hides; NaN
    /// for one seed.
    pub(crate) sd: f64,
}

impl Paired {
    /// The differences of `own` from `reference`, both by seed; `None` without a common seed. All are
    /// multiples of `resolution`, whose rounding has a standard deviation of `resolution / sqrt(12)`:
    /// equal differences do not show that their mean is known exactly.
    pub(crate) fn new(
        own: &[(u64, f64)],
        reference: &[(u64, f64)],
        resolution: f64,
    ) -> Option<Self> {
        let other = |seed: u64| reference.iter().find(|(s, _)| *s == seed).map(|(_, v)| *v);
        let differences = own.iter().filter_map(|(seed, v)| Some(v - other(*seed)?));
        Self::of(differences, resolution)
    }

    /// Differences that have been taken already, one for each seed.
    pub(crate) fn of(differences: impl Iterator<Item = f64>, resolution: f64) -> Option<Self> {
        let values: Vec<f64> = differences.filter(|v| v.is_finite()).collect();
        let n = values.len();
        let mean = crate::plan::mean(values.iter().copied())?;
        let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
        let sd = match n {
            1 => f64::NAN,
            _ => (squares / (n - 1) as f64).sqrt().max(resolution / 12f64.sqrt()),
        };
        Some(Self { n: n as u64, mean, sd })
    }

    /// Half the width of the 95 % interval of the mean difference; `None` with too few seeds.
    pub(crate) fn half_interval(&self) -> Option<f64> {
        half_interval(self.n, self.sd).filter(|_| self.n >= FEWEST)
    }

    /// The p-value of the two-sided paired t-test of no difference; `None` with too few seeds.
    pub(crate) fn difference_p(&self) -> Option<f64> {
        self.above(0.0).map(|p| 2.0 * p.min(1.0 - p))
    }

    /// The p-value of two one-sided paired t-tests that the difference is `margin` or more in either
    /// direction (Schuirmann 1987); `None` with too few seeds.
    pub(crate) fn equivalence_p(&self, margin: f64) -> Option<f64> {
        Some(self.above(-margin)?.max(1.0 - self.above(margin)?))
    }

    /// The p-value of the test whether the mean lies above `value`.
    fn above(&self, value: f64) -> Option<f64> {
        if self.n < FEWEST {
            return None;
        }
        let distance = self.mean - value;
        let t = distance * (self.n as f64).sqrt() / self.sd;
        // Without any spread 0 / 0 says nothing about a distance of 0.
        Some(if distance == 0.0 { 0.5 } else { tail(t, (self.n - 1) as f64) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_common_seeds_count_and_their_order_does_not() {
        let own = [(3, 0.7), (1, 0.5), (2, 0.6), (9, 0.0)];
        let reference = [(1, 0.6), (2, 0.6), (3, 0.6), (4, 1.0)];
        let found = Paired::new(&own, &reference, 0.0).unwrap();
        assert_eq!(found.n, 3);
        assert!(found.mean.abs() < 1e-12 && (found.sd - 0.1).abs() < 1e-12);
        assert_eq!(Paired::new(&own, &[(7, 0.1)], 0.0), None);
    }

    #[test]
    fn tests_and_intervals_are_those_of_a_textbook() {
        // Differences 1, 2, 3, 4, 5: t = 3 / sqrt(2.5 / 5) = 4.2426 with 4 degrees.
        let found = Paired::of((1..=5).map(f64::from), 0.0).unwrap();
        assert!((found.difference_p().unwrap() - 0.013_236).abs() < 1e-5);
        assert!((found.half_interval().unwrap() - 1.963_24).abs() < 1e-4);
        // Against a margin of 5: t = 2 / sqrt(0.5) on the nearer side.
        let nearer = tail(8f64.sqrt(), 4.0);
        assert!((found.equivalence_p(5.0).unwrap() - nearer).abs() < 1e-12);
        assert!(found.equivalence_p(2.0).unwrap() > 0.5);
    }

    #[test]
    fn two_seeds_have_a_difference_but_neither_interval_nor_test() {
        let found = Paired::of([0.1, 0.3].into_iter(), 0.0).unwrap();
        assert!((found.mean - 0.2).abs() < 1e-12 && found.sd > 0.0);
        assert_eq!((found.half_interval(), found.difference_p()), (None, None));
        assert_eq!(found.equivalence_p(1.0), None);
    }

    #[test]
    fn equal_differences_are_as_uncertain_as_their_rounding() {
        let found = Paired::of([-0.001; 3].into_iter(), 0.001).unwrap();
        assert!(found.difference_p().unwrap() > 0.02);
        assert!(found.half_interval().unwrap() > 0.0005);
        let same = Paired::of([0.0; 3].into_iter(), 0.0).unwrap();
        assert_eq!((same.difference_p(), same.equivalence_p(0.01)), (Some(1.0), Some(0.0)));
    }
}
