//! What a few updates with single choices do to the loss.

use std::collections::{BTreeMap, BTreeSet};

use packlight_record::{HOPELESS, LossChange};

use crate::estimate::{Cluster, Sampling};
use crate::selection::OnBatch;
use crate::{Error, LeftOut, Measured, Result};

/// The changes of the loss in trainings with one layer's codecs.
pub(crate) struct Changes<'a>(BTreeMap<(&'a str, usize), Option<f64>>);

impl<'a> Changes<'a> {
    pub(crate) fn new(losses: &[&'a LossChange], clusters: &[Cluster]) -> Self {
        let of = |change: &&'a LossChange| {
            let cluster = Cluster::of_change(change).number(clusters)?;
            Some(((change.codec.as_str(), cluster), change.after_horizon))
        };
        Self(losses.iter().filter_map(of).collect())
    }

    /// The numbers of the clusters that trainings began on.
    pub(crate) fn clusters(&self) -> Vec<usize> {
        let clusters: BTreeSet<usize> = self.0.keys().map(|(_, cluster)| *cluster).collect();
        clusters.into_iter().collect()
    }

    /// The change with a codec on each cluster of `trained`, or why one is not known.
    pub(crate) fn of(
        &self,
        codec: &str,
        scores: &BTreeMap<usize, OnBatch<'_>>,
        trained: &Sampling,
        clusters: &[Cluster],
    ) -> Result<Vec<f64>, String> {
        let is_hopeless = |score: &OnBatch<'_>| score.error.lasting() >= HOPELESS;
        let hopeless = |of: &str| {
            format!("its error is as large as the gradient{of}, so that no training was compared")
        };
        if trained.clusters().is_empty() {
            let any = scores.values().any(is_hopeless);
            return Err(if any { hopeless("") } else { "no training was compared".to_owned() });
        }
        let change = |&cluster: &usize| {
            let here = &clusters[cluster];
            match self.0.get(&(codec, cluster)) {
                Some(Some(change)) => Ok(*change),
                Some(None) => Err(format!("training came to something not finite {here}")),
                None if scores.get(&cluster).is_some_and(is_hopeless) => {
                    Err(hopeless(&format!(" {here}")))
                }
                None => Err(format!(
                    "no training was compared {here}, unlike with other codecs; measure again, which goes on \
                     where it ended"
                )),
            }
        };
        trained.clusters().iter().map(change).collect()
    }
}

/// What an error counts beside losses: where these do not tell choices apart, the smaller error does. A gradient
/// that is off by its own norm costs less than any training of a few updates could show.
const ERROR: f64 = 1e-4;

/// Of a choice: the number of its layer, the mean change and this mean's variance.
type Mean = (usize, f64, Option<f64>);

impl Measured {
    /// The same, with the rise of the loss after [`Measured::horizon`] updates in place of errors. Choices of
    /// which it is not known are left out.
    ///
    /// Changes of the loss are small beside their noise, and an allocation looks for the smallest of many: it
    /// would find luck. On a small ViT, ten updates with 178 choices changed the loss by up to a few
    /// hundredths, in sizes that follow their errors (rank correlations of 0.7), but in signs that do not
    /// repeat: between two batches the changes had rank correlations of −0.1 to 0.1. So each is drawn towards
    /// the mean of its codec over the layers, as far as the differences between layers are noise, and that
    /// mean towards 0, as far as it is noise (positive-part James-Stein estimators; Efron and Morris, Data
    /// Analysis Using Stein's Estimator, 1975). What lies below 0 counts as 0: exact training is what others
    /// are measured by, not something to be improved upon by errors. Among choices that losses do not tell
    /// apart, the one with the smaller error is taken.
    ///
    /// # Errors
    /// Returns an error if no loss was measured.
    pub fn by_loss(mut self) -> Result<Self> {
        if self.horizon.is_none() {
            return Err(Error::NoLosses);
        }
        let mut codecs: BTreeMap<String, Vec<Mean>> = BTreeMap::new();
        for (number, layer) in self.layers().iter().enumerate() {
            for choice in &layer.choices[1..] {
                let Ok(changes) = &choice.changes else { continue };
                let mean = layer.trained.mean(changes);
                let of = (number, mean, layer.trained.variance(changes));
                codecs.entry(choice.codec.clone()).or_default().push(of);
            }
        }
        let rises: BTreeMap<(usize, String), f64> = codecs
            .into_iter()
            .flat_map(|(codec, means)| {
                let rises = shrunk(&means);
                means.into_iter().zip(rises).map(move |(of, rise)| ((of.0, codec.clone()), rise))
            })
            .collect();
        let (units, mut left_out) = (self.units.clone(), std::mem::take(&mut self.left_out));
        for (number, layer) in self.parts().0.iter_mut().enumerate() {
            let (facts, trained) = (&layer.facts, &layer.trained);
            layer.choices.retain(|choice| {
                if let Err(reason) = &choice.changes {
                    let (codec, reason) = (Some(choice.codec.clone()), reason.clone());
                    left_out.push(LeftOut { layer: facts.layer.clone(), codec, reason });
                }
                choice.changes.is_ok()
            });
            for choice in &mut layer.choices[1..] {
                let Ok(changes) = &choice.changes else { continue };
                let Some(&rise) = rises.get(&(number, choice.codec.clone())) else { continue };
                choice.price = ERROR * choice.error.mean;
                choice.moves = trained.moves(&units, changes);
                choice.error = units.estimate(rise, &choice.moves, changes.len());
            }
        }
        self.left_out = left_out;
        self.counts_losses = true;
        Ok(self)
    }
}

/// A codec's means, drawn towards that of all layers, and at least 0. The mean of all layers is taken to be as
/// noisy as each: all changes on a batch share the luck of one exact training.
fn shrunk(means: &[Mean]) -> Vec<f64> {
    let count = means.len() as f64;
    let sum = |of: &dyn Fn(&Mean) -> f64| means.iter().map(of).sum::<f64>();
    let all = sum(&|mean| mean.1) / count;
    let spread = sum(&|mean| (mean.1 - all).powi(2)) / (count - 1.0).max(1.0);
    let noise = sum(&|mean| mean.2.unwrap_or_default()) / count;
    let real = (spread - noise).max(0.0);
    let common = if all > 0.0 { (all - noise / all).max(0.0) } else { all };
    let shrunk = |&(_, mean, variance): &Mean| match variance {
        Some(own) if own > 0.0 => common + (mean - all) * real / (real + own),
        _ => mean, // of a single batch nothing is known
    };
    means.iter().map(|mean| shrunk(mean).max(0.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noise_alone_becomes_the_mean_and_what_is_not_stays() {
        let means = |values: [f64; 4], variance| -> Vec<f64> {
            let of = values.iter().enumerate().map(|(at, v)| (at, *v, Some(variance)));
            shrunk(&of.collect::<Vec<_>>())
        };
        // Their variance is 5/3: less than the noise, three times it, and far more. Of their mean, 2.5, the
        // noise takes a share, too.
        let values = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(means(values, 2.0), [2.5 - 2.0 / 2.5; 4]);
        assert_eq!(means(values, 7.0), [0.0; 4]);
        let third = means(values, 5.0 / 9.0);
        for (found, value) in third.iter().zip(values) {
            let expected = 2.5 - 5.0 / 9.0 / 2.5 + (value - 2.5) * 2.0 / 3.0;
            assert!((found - expected).abs() < 1e-12, "{third:?}");
        }
        assert_eq!(means(values, 0.0), values);
        // What is below 0 counts as 0.
        assert_eq!(means([-1.0, -2.0, 1.0, 0.0], 0.0), [0.0, 0.0, 1.0, 0.0]);
        assert_eq!(shrunk(&[(0, 2.0, Some(1.0))]), [1.5]);
        assert_eq!(shrunk(&[(0, 2.0, None)]), [2.0]);
    }
}
