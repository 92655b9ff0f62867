//! Normalisation: mean 0 and standard deviation 1 for each channel.

use packlight_spec::Fault;
use serde::{Deserialize, Serialize};

use super::{Error, Result};

/// The mean and standard deviation, per channel, for normalising pixels from 0 to 1. A single
/// number applies to all channels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalise {
    /// The number to subtract.
    pub mean: Vec<f32>,
    /// The number to divide by after that.
    pub std: Vec<f32>,
}

impl Normalise {
    /// Repeats a single number for `channels` channels, and checks the values.
    pub(super) fn for_channels(&self, channels: usize) -> Result<Self> {
        let numbers = |key, given: &[f32], good: fn(f32) -> bool, expected: &str| {
            if !given.iter().copied().all(good) || ![1, channels].contains(&given.len()) {
                let count = if channels == 1 { "1".into() } else { format!("1 or {channels}") };
                return Err(Error::setting(
                    key,
                    format!("{count} {expected}"),
                    format!("{given:?}"),
                ));
            }
            Ok((0..channels).map(|channel| given[channel % given.len()]).collect())
        };
        Ok(Self {
            mean: numbers("normalise.mean", &self.mean, f32::is_finite, "finite numbers")?,
            std: numbers(
                "normalise.std",
                &self.std,
                |std| std.is_finite() && std > 0.0,
                "numbers above 0",
            )?,
        })
    }

    /// Computes both from images of `channels` planes each, with pixels from 0 to 1.
    ///
    /// # Errors
    /// Returns an error if all pixels of a channel are equal.
    pub(super) fn of(images: impl Iterator<Item = Vec<f32>>, channels: usize) -> Result<Self> {
        let mut sums = vec![(0f64, 0f64, 0f64); channels];
        for image in images {
            for (plane, sum) in image.chunks_exact(image.len() / channels).zip(&mut sums) {
                for value in plane.iter().map(|&value| f64::from(value)) {
                    *sum = (sum.0 + 1.0, sum.1 + value, sum.2 + value * value);
                }
            }
        }
        let mut normalise = Self { mean: Vec::new(), std: Vec::new() };
        for (channel, (count, sum, squares)) in sums.into_iter().enumerate() {
            let mean = sum / count;
            let std = (squares / count - mean * mean).max(0.0).sqrt();
            if std < 1e-6 {
                let reason = format!(
                    "the training images do not vary, channel {channel} is {mean} everywhere; give \
                     mean and std"
                );
                return Err(Fault::new("normalise", reason).into());
            }
            normalise.mean.push(mean as f32);
            normalise.std.push(std as f32);
        }
        Ok(normalise)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn computes_each_channel() {
        let images = [vec![0.0, 1.0, 0.5, 0.5], vec![0.0, 1.0, 0.25, 0.75]];
        let found = Normalise::of(images.into_iter(), 2).unwrap();
        assert_eq!((found.mean, found.std[0]), (vec![0.5, 0.5], 0.5));
        assert!((found.std[1] - 0.125f32.sqrt() / 2.0).abs() < 1e-7);
        let error = Normalise::of([vec![0.5, 0.5]].into_iter(), 1).unwrap_err().to_string();
        assert!(error.contains("do not vary"), "{error}");
    }

    #[test]
    fn one_number_stands_for_all_channels() {
        let one = Normalise { mean: vec![0.5], std: vec![0.25] };
        assert_eq!(one.for_channels(3).unwrap().std, [0.25; 3]);
        let two = Normalise { mean: vec![0.5; 2], ..one.clone() };
        assert!(two.for_channels(3).unwrap_err().to_string().contains("1 or 3 finite numbers"));
        let zero = Normalise { std: vec![0.0], ..one };
        assert!(zero.for_channels(1).unwrap_err().to_string().contains("data.normalise.std: "));
    }
}
