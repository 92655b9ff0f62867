//! The change of a mean between two studies, and whether it exceeds the noise of their seeds.

use super::paired::{FEWEST, Paired};
use super::student::{quantile, tail};
use crate::rows::seed_stats;

/// The difference of two means over seeds, with its standard error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Change {
    /// The second mean less the first.
    pub(crate) mean: f64,
    /// How many seeds each has; of pairs, the common ones.
    pub(crate) n: [u64; 2],
    /// Whether it is the mean of differences within seeds.
    pub(crate) paired: bool,
    error: f64,
    degrees: f64,
}

impl Change {
    /// The mean difference within the seeds that both have; `None` without a common one. Values are
    /// multiples of `resolution`, see [`Paired::new`].
    pub(crate) fn paired(values: [&[(u64, f64)]; 2], resolution: f64) -> Option<Self> {
        let Paired { n, mean, sd } = Paired::new(values[1], values[0], resolution)?;
        let error = sd / (n as f64).sqrt();
        Some(Self { mean, n: [n, n], paired: true, error, degrees: n as f64 - 1.0 })
    }

    /// The difference of the means of two samples that have nothing in common, with a standard error and
    /// degrees of freedom by Welch (Biometrika 34, 1947); `None` if either is empty.
    pub(crate) fn unpaired(values: [&[(u64, f64)]; 2], resolution: f64) -> Option<Self> {
        let of = |values: &[(u64, f64)]| seed_stats(values.iter().map(|(_, value)| *value));
        let (first, second) = (of(values[0])?, of(values[1])?);
        let n = [first.n, second.n];
        let squares = [first, second].map(|stats| {
            let sd = stats.sd.max(resolution / 12f64.sqrt());
            sd * sd / stats.n as f64
        });
        let square = squares[0] + squares[1];
        let below: f64 = squares.iter().zip(n).map(|(s, n)| s * s / (n as f64 - 1.0)).sum();
        let degrees = match square > 0.0 {
            true => square * square / below,
            false => (n[0] + n[1]) as f64 - 2.0,
        };
        let (mean, error) = (second.mean - first.mean, square.sqrt());
        Some(Self { mean, n, paired: false, error, degrees })
    }

    /// Half the width of the 95 % interval of the change; `None` with too few seeds.
    pub(crate) fn half_interval(&self) -> Option<f64> {
        self.enough().then(|| quantile(0.025, self.degrees) * self.error)
    }

    /// The p-value of the two-sided t-test of no change; `None` with too few seeds.
    pub(crate) fn p(&self) -> Option<f64> {
        self.enough().then(|| match self.mean == 0.0 {
            true => 1.0, // without any spread 0 / 0 says nothing
            false => 2.0 * tail(self.mean.abs() / self.error, self.degrees),
        })
    }

    fn enough(&self) -> bool {
        self.n.iter().all(|n| *n >= FEWEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seeds(values: &[f64]) -> Vec<(u64, f64)> {
        (0..).zip(values.iter().copied()).collect()
    }

    #[test]
    fn unpaired_changes_are_those_of_a_textbook() {
        // Means 3 and 6, variances 2.5 and 10, five values each: standard error sqrt(2.5), degrees
        // 2.5^2 / (0.5^2 / 4 + 2^2 / 4) = 5.882.
        let (a, b) = (seeds(&[1.0, 2.0, 3.0, 4.0, 5.0]), seeds(&[2.0, 4.0, 6.0, 8.0, 10.0]));
        let found = Change::unpaired([&a, &b], 0.0).unwrap();
        assert!((found.mean - 3.0).abs() < 1e-12 && found.n == [5, 5] && !found.paired);
        assert!((found.error - 2.5f64.sqrt()).abs() < 1e-12);
        assert!((found.degrees - 6.25 / 1.0625).abs() < 1e-9);
        // SciPy's ttest_ind(b, a, equal_var=False).
        assert!((found.p().unwrap() - 0.107_531).abs() < 1e-5, "{:?}", found.p());
        let back = Change::unpaired([&b, &a], 0.0).unwrap();
        assert_eq!((back.mean, back.p()), (-3.0, found.p()));
    }

    #[test]
    fn pairs_see_a_change_that_is_small_beside_the_spread_of_seeds() {
        let (a, b) = (seeds(&[1.0, 2.0, 3.0, 4.0]), seeds(&[1.1, 2.12, 3.09, 4.11]));
        let paired = Change::paired([&a, &b], 0.0).unwrap();
        let unpaired = Change::unpaired([&a, &b], 0.0).unwrap();
        assert!((paired.mean - unpaired.mean).abs() < 1e-12);
        assert!(paired.p().unwrap() < 0.001 && unpaired.p().unwrap() > 0.5);
        assert!(paired.half_interval().unwrap() < 0.05);
    }

    #[test]
    fn too_few_seeds_have_a_change_and_no_test_and_no_spread_is_no_panic() {
        let (a, b) = (seeds(&[1.0, 2.0]), seeds(&[2.0, 3.0, 4.0]));
        let found = Change::unpaired([&a, &b], 0.0).unwrap();
        assert!((found.mean - 1.5).abs() < 1e-12);
        assert_eq!((found.half_interval(), found.p()), (None, None));
        assert!(Change::unpaired([&a, &[]], 0.0).is_none());
        assert!(Change::paired([&[(1, 0.5)], &[(2, 0.5)]], 0.0).is_none());
        let (one, two) = (seeds(&[1.0; 3]), seeds(&[2.0; 3]));
        assert_eq!(Change::unpaired([&one, &one], 0.0).unwrap().p(), Some(1.0));
        let exact = Change::unpaired([&one, &two], 0.0).unwrap();
        assert_eq!((exact.p(), exact.half_interval()), (Some(0.0), Some(0.0)));
    }
}
