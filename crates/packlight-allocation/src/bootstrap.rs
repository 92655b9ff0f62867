//! Means of batches that are drawn anew.

use crate::Estimate;
use crate::estimate::{Sampling, interval};
use crate::split_mix::SplitMix64;

/// How often the batches are drawn anew.
const RESAMPLES: usize = 2000;
/// So many resamples are summed side by side: the sums of four series stay in registers then.
const LANES: usize = 4;
/// The resamples whose counts lie together.
type Lanes = [f64; LANES];

/// How often each cluster is drawn in each resample.
#[derive(Debug, Clone)]
pub(crate) struct Bootstrap {
    clusters: usize,
    /// The counts of each cluster in the first resamples, then in the next ones.
    counts: Vec<Lanes>,
}

impl Bootstrap {
    pub(crate) fn new(clusters: usize) -> Self {
        let mut counts = vec![[0.0; LANES]; RESAMPLES / LANES * clusters];
        let mut random = SplitMix64::new(0);
        for draw in 0..clusters * RESAMPLES {
            let resample = draw % RESAMPLES;
            let place = resample / LANES * clusters + random.below(clusters);
            counts[place][resample % LANES] += 1.0;
        }
        Self { clusters, counts }
    }

    /// One that draws nothing: the only resample is the sample.
    pub(crate) fn none() -> Self {
        Self { clusters: 0, counts: Vec::new() }
    }

    /// The means of a value for each cluster of a sampling in each resample; their own mean in those that draw
    /// none of these clusters.
    pub(crate) fn means(&self, sampling: &Sampling, values: &[f64]) -> Vec<f64> {
        self.means_of(sampling, &[values]).pop().unwrap_or_default()
    }

    /// The same of several series of values, which takes less time together.
    pub(crate) fn means_of(&self, sampling: &Sampling, series: &[&[f64]]) -> Vec<Vec<f64>> {
        let own: Vec<f64> = series.iter().map(|values| sampling.mean(values)).collect();
        if self.counts.is_empty() {
            return own.into_iter().map(|mean| vec![mean]).collect();
        }
        let weights = sampling.weights();
        let weighted = |values: &&[f64]| values.iter().zip(weights).map(|(v, w)| w * v).collect();
        let weighted: Vec<Vec<f64>> = series.iter().map(weighted).collect();
        let mut means = vec![Vec::with_capacity(RESAMPLES); series.len()];
        for counts in self.counts.chunks(self.clusters) {
            let [totals] = sums(counts, sampling.clusters(), [weights]);
            let mut add = |number: usize, sums: Lanes| {
                let mean = |(sum, total)| if total > 0.0 { sum / total } else { own[number] };
                means[number].extend(sums.into_iter().zip(totals).map(mean));
            };
            let (fours, others) = weighted.as_chunks::<4>();
            for (at, [a, b, c, d]) in fours.iter().enumerate() {
                let found = sums(counts, sampling.clusters(), [a, b, c, d].map(Vec::as_slice));
                (4 * at..).zip(found).for_each(|(number, sums)| add(number, sums));
            }
            for (number, one) in (4 * fours.len()..).zip(others) {
                let [found] = sums(counts, sampling.clusters(), [one]);
                add(number, found);
            }
        }
        means
    }

    /// The mean of a value for each cluster of a sampling, with its interval.
    pub(crate) fn estimate(&self, sampling: &Sampling, values: &[f64]) -> Estimate {
        interval(sampling.mean(values), self.means(sampling, values), values.len())
    }
}

/// The sum of each series in each resample, over the clusters in their order.
fn sums<const N: usize>(counts: &[Lanes], clusters: &[usize], series: [&[f64]; N]) -> [Lanes; N] {
    let mut sums = [[0.0; LANES]; N];
    for (place, &cluster) in clusters.iter().enumerate() {
        let counts = counts[cluster];
        for (sums, values) in sums.iter_mut().zip(series) {
            let value = values[place];
            for (sum, count) in sums.iter_mut().zip(counts) {
                *sum += count * value;
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use packlight_spec::Point;

    use super::*;
    use crate::estimate::Cluster;

    #[test]
    fn series_together_have_the_means_of_each_alone_and_without_draws_their_own() {
        let cluster = |batch| Cluster { point: Point::START, seed: batch % 3, batch };
        let all: Vec<Cluster> = (0..20).map(cluster).collect();
        let sampling = Sampling::new(&all, vec![1, 4, 5, 11, 19]);
        let series: Vec<Vec<f64>> =
            (0..6).map(|n| (0..5).map(|i| f64::from(7 * n + i * i)).collect()).collect();
        let series: Vec<&[f64]> = series.iter().map(Vec::as_slice).collect();
        let bootstrap = Bootstrap::new(all.len());
        let together = bootstrap.means_of(&sampling, &series);
        for (means, values) in together.iter().zip(&series) {
            assert_eq!(means.len(), RESAMPLES);
            assert_eq!(*means, bootstrap.means(&sampling, values));
            let alone = Bootstrap::none().estimate(&sampling, values);
            assert_eq!((alone.low, alone.high, alone.n), (alone.mean, alone.mean, 5));
        }
    }
}
