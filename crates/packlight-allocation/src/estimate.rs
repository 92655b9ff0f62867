//! Means with their intervals.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use packlight_record::{LossChange, OneOff, PlanError, Score};
use packlight_spec::Point;
use serde::Serialize;

use crate::units::{Moves, Units};

/// A mean with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The mean: over the batches of each seed, then seeds, then points.
    pub mean: f64,
    /// By Student's t over the seeds, or with a single seed over the batches of each point; `None` with one of
    /// them, for what is exact, and below three for a ratio of [`PlanErrors`](crate::PlanErrors).
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    /// The number of batches, each of one point and one seed.
    pub n: u64,
}

/// Where a mean lies with a probability of 95 %.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Estimate {
    /// That of what has no error.
    pub(crate) const EXACT: Self = Self { mean: 0.0, interval: None, n: 0 };

    /// The ends of the interval; the mean twice if there is none.
    pub fn ends(&self) -> (f64, f64) {
        self.interval.map_or((self.mean, self.mean), |Interval { low, high }| (low, high))
    }

    /// The estimate of what rises with this one, such as its square root.
    #[must_use]
    pub fn map(self, of: impl Fn(f64) -> f64) -> Self {
        let interval =
            self.interval.map(|Interval { low, high }| Interval { low: of(low), high: of(high) });
        Self { mean: of(self.mean), interval, n: self.n }
    }
}

/// A batch that all layers were measured on.
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
        let points = self.by_point(values);
        if points.values().any(|point| point.count < 2.0) {
            return None;
        }
        let square = |(_, weight, deviation, point): (usize, f64, f64, &OfPoint)| {
            (weight * deviation).powi(2) * point.count / (point.count - 1.0)
        };
        let variance: f64 = self.deviations(values, &points).map(square).sum();
        Some(variance / self.weights.iter().sum::<f64>().powi(2))
    }

    /// By how much each unit moves the mean of a value for each cluster, from that of its point.
    pub(crate) fn moves(&self, units: &Units, values: &[f64]) -> Moves {
        let total: f64 = self.weights.iter().sum();
        let points = self.by_point(values);
        let deviations = self.deviations(values, &points);
        units.moves(deviations.map(|(cluster, weight, by, _)| (cluster, weight * by / total)))
    }

    /// The mean of a value for each cluster, with its interval.
    pub(crate) fn estimate(&self, units: &Units, values: &[f64]) -> Estimate {
        units.estimate(self.mean(values), &self.moves(units, values), values.len())
    }

    /// The same of errors.
    pub(crate) fn error(&self, units: &Units, values: &[f64]) -> Estimate {
        units.error(self.mean(values), &self.moves(units, values), values.len())
    }

    /// The same of values that compare one thing with another.
    pub(crate) fn comparison(&self, units: &Units, values: &[f64]) -> Estimate {
        units.comparison(self.mean(values), &self.moves(units, values), values.len())
    }

    fn by_point(&self, values: &[f64]) -> BTreeMap<u64, OfPoint> {
        let mut points: BTreeMap<u64, OfPoint> = BTreeMap::new();
        for ((value, weight), point) in values.iter().zip(&self.weights).zip(&self.points) {
            let of = points.entry(*point).or_default();
            of.count += 1.0;
            of.weights += weight;
            of.weighted += value * weight;
        }
        points
    }

    /// For each value its cluster, its weight, how far it is from the mean of its point, and that point.
    fn deviations<'a>(
        &'a self,
        values: &'a [f64],
        points: &'a BTreeMap<u64, OfPoint>,
    ) -> impl Iterator<Item = (usize, f64, f64, &'a OfPoint)> {
        let all = values.iter().zip(&self.weights).zip(&self.points).zip(&self.clusters);
        all.map(move |(((value, weight), point), cluster)| {
            let point = &points[point];
            (*cluster, *weight, value - point.weighted / point.weights, point)
        })
    }
}

/// Sums over the values of one point of the training.
#[derive(Default)]
struct OfPoint {
    count: f64,
    weights: f64,
    weighted: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn one_batch_has_no_interval() {
        let all = clusters(&[(Point::START, 0, 0)]);
        let found = Sampling::new(&all, vec![0]).estimate(&Units::new(&all), &[0.3]);
        assert_eq!(found, Estimate { mean: 0.3, interval: None, n: 1 });
        assert_eq!(serde_json::to_string(&found).unwrap(), r#"{"mean":0.3,"n":1}"#);
        let interval = Some(Interval { low: 0.2, high: 0.4 });
        let found = serde_json::to_string(&Estimate { interval, ..found }).unwrap();
        assert_eq!(found, r#"{"mean":0.3,"low":0.2,"high":0.4,"n":1}"#);
    }
}
