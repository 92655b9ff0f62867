//! Means with their bootstrap intervals.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use packlight_record::{LossChange, OneOff, PlanError, Score};
use packlight_spec::Point;
use serde::Serialize;

/// The share of the resamples that lies outside the interval on each side.
const OUTSIDE: f64 = 0.025;

/// A mean with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The mean: over the batches of each seed, then seeds, then points.
    pub mean: f64,
    /// The lower end of the percentile bootstrap interval (Efron and Tibshirani, An Introduction to
    /// the Bootstrap, chapter 13); the mean if there is only one batch.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// The number of batches, each of one point and one seed.
    pub n: u64,
}

/// A batch that is drawn with all layers side by side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cluster {
    pub(crate) point: Point,
    pub(crate) seed: u64,
    pub(crate) batch: u64,
}

impl Cluster {
    /// What `score` was measured on.
    pub(crate) fn of(score: &Score) -> Self {
        Self { point: score.point, seed: score.seed, batch: score.batch }
    }

    /// What the trainings of `change` began on.
    pub(crate) fn of_change(change: &LossChange) -> Self {
        Self { point: change.point, seed: change.seed, batch: change.batch }
    }

    /// What `one_off` was measured on.
    pub(crate) fn of_one_off(one_off: &OneOff) -> Self {
        Self { point: one_off.point, seed: one_off.seed, batch: one_off.batch }
    }

    /// What `error` was measured on.
    pub(crate) fn of_error(error: &PlanError) -> Self {
        Self { point: error.point, seed: error.seed, batch: error.batch }
    }

    /// All of them in order, each once.
    pub(crate) fn all(clusters: impl Iterator<Item = Self>) -> Vec<Self> {
        let mut clusters: Vec<Self> = clusters.collect();
        clusters.sort_by(Self::cmp);
        clusters.dedup();
        clusters
    }

    /// Its number among all clusters, which are in order.
    pub(crate) fn number(&self, all: &[Self]) -> Option<usize> {
        all.binary_search_by(|other| other.cmp(self)).ok()
    }

    pub(crate) fn cmp(&self, other: &Self) -> Ordering {
        let by_point = self.point.share().total_cmp(&other.point.share());
        by_point.then((self.seed, self.batch).cmp(&(other.seed, other.batch)))
    }
}

impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { point, seed, batch } = self;
        write!(f, "at {point}, seed {seed}, batch {batch}")
    }
}

/// The clusters that a layer was measured on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sampling {
    /// Their numbers.
    clusters: Vec<usize>,
    /// Their weights in a mean: the batches of a seed count as much as those of another seed, and so do
    /// the seeds of a point.
    weights: Vec<f64>,
    /// What tells their points apart.
    points: Vec<u64>,
}

fn key(point: Point) -> u64 {
    point.share().to_bits()
}

impl Sampling {
    /// Some of all clusters, by their numbers.
    pub(crate) fn new(all: &[Cluster], clusters: Vec<usize>) -> Self {
        let chosen: Vec<Cluster> = clusters.iter().map(|&cluster| all[cluster]).collect();
        // The batches of each seed, by point.
        let mut batches: BTreeMap<u64, BTreeMap<u64, usize>> = BTreeMap::new();
        for of in &chosen {
            *batches.entry(key(of.point)).or_default().entry(of.seed).or_default() += 1;
        }
        let weight = |of: &Cluster| {
            let seeds = &batches[&key(of.point)];
            1.0 / (seeds[&of.seed] * seeds.len()) as f64
        };
        let points = chosen.iter().map(|of| key(of.point)).collect();
        Self { weights: chosen.iter().map(weight).collect(), clusters, points }
    }

    /// The numbers of the clusters.
    pub(crate) fn clusters(&self) -> &[usize] {
        &self.clusters
    }

    /// The mean of a value for each cluster.
    pub(crate) fn mean(&self, values: &[f64]) -> f64 {
        let weighted = values.iter().zip(&self.weights).map(|(value, weight)| value * weight);
        weighted.sum::<f64>() / self.weights.iter().sum::<f64>()
    }

    /// The variance of that mean, from how much values of one point of the training differ; `None` if a
    /// point has only one.
    pub(crate) fn variance(&self, values: &[f64]) -> Option<f64> {
        let all = || values.iter().zip(&self.weights).zip(&self.points);
        // Number of values, sum of weights and of weighted values, by point.
        let mut sums: BTreeMap<u64, (f64, f64, f64)> = BTreeMap::new();
        for ((value, weight), point) in all() {
            let (count, weights, weighted) = sums.entry(*point).or_default();
            *count += 1.0;
            *weights += weight;
            *weighted += value * weight;
        }
        if sums.values().any(|(count, ..)| *count < 2.0) {
            return None;
        }
        let deviation = |((value, weight), point): ((&f64, &f64), &u64)| {
            let (count, weights, weighted) = sums[point];
            (weight * (value - weighted / weights)).powi(2) * count / (count - 1.0)
        };
        let variance: f64 = all().map(deviation).sum();
        Some(variance / self.weights.iter().sum::<f64>().powi(2))
    }

    /// The weights of its clusters.
    pub(crate) fn weights(&self) -> &[f64] {
        &self.weights
    }
}

/// The estimate with this mean, whose interval is that of the resampled means.
pub(crate) fn interval(mean: f64, mut resampled: Vec<f64>, n: usize) -> Estimate {
    let at = |share: f64| ((resampled.len() - 1) as f64 * share).round() as usize;
    let (low, high) = (at(OUTSIDE), at(1.0 - OUTSIDE));
    let low = *resampled.select_nth_unstable_by(low, f64::total_cmp).1;
    let high = *resampled.select_nth_unstable_by(high, f64::total_cmp).1;
    // Rounding must not put the mean of equal values outside.
    Estimate { mean, low: low.min(mean), high: high.max(mean), n: n as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bootstrap::Bootstrap;

    fn clusters(of: &[(Point, u64, u64)]) -> Vec<Cluster> {
        of.iter().map(|&(point, seed, batch)| Cluster { point, seed, batch }).collect()
    }

    #[test]
    fn seeds_count_alike_however_many_batches_they_have() {
        let (start, end) = (Point::START, Point::END);
        let all = clusters(&[(start, 1, 0), (start, 1, 1), (start, 2, 0), (end, 1, 0)]);
        let sampling = Sampling::new(&all, vec![0, 1, 2, 3]);
        // Start: seed 1 has 1 and 3, seed 2 has 6; end: 10.
        let mean = sampling.mean(&[1.0, 3.0, 6.0, 10.0]);
        assert!((mean - ((2.0 + 6.0) / 2.0 + 10.0) / 2.0).abs() < 1e-12, "{mean}");
    }

    #[test]
    fn the_variance_of_a_mean_is_that_within_points() {
        let (start, end) = (Point::START, Point::END);
        let all = clusters(&[(start, 1, 0), (start, 1, 1), (end, 1, 0), (end, 1, 1)]);
        let values = [1.0, 3.0, 101.0, 105.0];
        // Of two values that are 2 and 4 apart the means have the variances 1 and 4.
        let variance = Sampling::new(&all, vec![0, 1, 2, 3]).variance(&values).unwrap();
        assert!((variance - (1.0 + 4.0) / 4.0).abs() < 1e-12, "{variance}");
        assert_eq!(Sampling::new(&all, vec![0, 1, 2]).variance(&values[..3]), None);
    }

    #[test]
    fn an_interval_has_the_width_of_the_normal_one() {
        // 400 values, 1 to 400: the mean's standard error is 400 / sqrt(12 * 400).
        let all = clusters(&(0..400).map(|batch| (Point::START, 0, batch)).collect::<Vec<_>>());
        let values: Vec<f64> = (1..=400).map(f64::from).collect();
        let sampling = Sampling::new(&all, (0..400).collect());
        let found = Bootstrap::new(400).estimate(&sampling, &values);
        let half = 1.96 * 400.0 / 4800f64.sqrt();
        assert!((found.mean - 200.5).abs() < 1e-9 && found.n == 400, "{found:?}");
        assert!((found.high - 200.5 - half).abs() < 0.1 * half, "{found:?}, {half}");
        assert!((200.5 - found.low - half).abs() < 0.1 * half, "{found:?}, {half}");
        assert_eq!(Bootstrap::new(400).estimate(&sampling, &values), found);
    }

    #[test]
    fn one_batch_has_no_width() {
        let all = clusters(&[(Point::START, 0, 0)]);
        let found = Bootstrap::new(1).estimate(&Sampling::new(&all, vec![0]), &[0.3]);
        assert_eq!(found, Estimate { mean: 0.3, low: 0.3, high: 0.3, n: 1 });
    }
}
