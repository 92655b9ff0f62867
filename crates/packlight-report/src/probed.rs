//! The gradients of probed steps: averages over all of them, and those that are drawn and listed.
//!
//! A long study probes thousands of steps, more than a figure can show or a reader can follow. Averages are
//! taken over all of them while the records are read; then a part is kept, spread evenly.

use std::collections::{BTreeSet, HashMap};

use packlight_record::{Distribution, Record};

use crate::tables::finite;

/// The most probed steps of a run that are drawn and listed.
pub(crate) const MOST_STEPS: usize = 40;

/// How many steps a run probed, and how many of them are drawn and listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Drawn {
    pub(crate) steps: usize,
    pub(crate) of: usize,
}

/// Leaves the gradients of at most `most` steps in `records`, spread evenly over all probed steps, the first
/// and the last included.
pub(crate) fn thin(records: &mut Vec<Record>, most: usize) -> Drawn {
    let probed = |record: &Record| match record {
        Record::Gradient { step, .. } | Record::WholeGradient { step, .. } => Some(*step),
        _ => None,
    };
    let steps: BTreeSet<u64> = records.iter().filter_map(probed).collect();
    let of = steps.len();
    if of > most {
        let place = |i: usize| (i * (of - 1) + (most - 1) / 2) / (most - 1).max(1);
        let places: BTreeSet<usize> = (0..most).map(place).collect();
        let kept = steps.into_iter().enumerate().filter(|(place, _)| places.contains(place));
        let kept: BTreeSet<u64> = kept.map(|(_, step)| step).collect();
        records.retain(|record| probed(record).is_none_or(|step| kept.contains(&step)));
        records.shrink_to_fit();
    }
    Drawn { steps: of.min(most), of }
}

/// Averages of a plan's gradients over probed steps and seeds.
#[derive(Debug, Default)]
pub(crate) struct Averages {
    /// The layers in the order of their first records.
    pub(crate) layers: Vec<LayerAverages>,
    /// The parameters that whole passes compared, in that order.
    pub(crate) parameters: Vec<ParameterAverages>,
    places: HashMap<String, usize>,
    parameter_places: HashMap<String, usize>,
}

/// Averages of one layer.
#[derive(Debug, Default)]
pub(crate) struct LayerAverages {
    pub(crate) layer: String,
    pub(crate) cosine: Average,
    pub(crate) relative_error: Average,
    /// Of the learning indicator's distributions.
    pub(crate) indicator: IndicatorAverages,
    /// Of their medians over samples, for a layer whose samples have several tokens.
    pub(crate) sample_median: Average,
    pub(crate) kept: Average,
    pub(crate) raw: Average,
    /// The mean cosine of each seed.
    pub(crate) by_seed: Vec<(u64, Average)>,
}

/// Averages of the learning indicator's mean, quantiles and share at or below 0.
#[derive(Debug, Default)]
pub(crate) struct IndicatorAverages {
    pub(crate) mean: Average,
    pub(crate) p05: Average,
    pub(crate) p25: Average,
    pub(crate) median: Average,
    pub(crate) p75: Average,
    pub(crate) p95: Average,
    pub(crate) nonpositive: Average,
}

/// Averages of one parameter's gradients from two whole passes.
#[derive(Debug, Default)]
pub(crate) struct ParameterAverages {
    pub(crate) parameter: String,
    pub(crate) cosine: Average,
    pub(crate) relative_error: Average,
}

/// The mean and the range of the values that are defined.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Average {
    sum: f64,
    count: u64,
    /// NaN without a value.
    pub(crate) low: f64,
    /// NaN without a value.
    pub(crate) high: f64,
}

impl Default for Average {
    fn default() -> Self {
        Self { sum: 0.0, count: 0, low: f64::NAN, high: f64::NAN }
    }
}

impl Average {
    pub(crate) fn add(&mut self, value: Option<f64>) {
        if let Some(value) = value {
            self.sum += value;
            self.count += 1;
            self.low = self.low.min(value);
            self.high = self.high.max(value);
        }
    }

    /// NaN without a value.
    pub(crate) fn mean(&self) -> f64 {
        self.sum / self.count as f64
    }
}

impl IndicatorAverages {
    fn add(&mut self, distribution: &Distribution) {
        let Distribution { mean, p05, p25, median, p75, p95, nonpositive, .. } = *distribution;
        for (average, value) in [
            (&mut self.mean, mean),
            (&mut self.p05, p05),
            (&mut self.p25, p25),
            (&mut self.median, median),
            (&mut self.p75, p75),
            (&mut self.p95, p95),
            (&mut self.nonpositive, nonpositive),
        ] {
            average.add(finite(value));
        }
    }
}

impl Averages {
    /// Adds the records of the run with this seed.
    pub(crate) fn add(&mut self, seed: u64, records: &[Record]) {
        for record in records {
            match record {
                Record::Gradient {
                    layer,
                    fidelity,
                    learning_indicator,
                    sample_learning_indicator,
                    kept_bytes,
                    raw_bytes,
                    ..
                } => {
                    let averages = self.layer(layer);
                    averages.cosine.add(fidelity.cosine);
                    averages.relative_error.add(fidelity.relative_error);
                    averages.of_seed(seed).add(fidelity.cosine);
                    learning_indicator.iter().for_each(|li| averages.indicator.add(li));
                    let sample = sample_learning_indicator.as_ref().map(|li| li.median);
                    averages.sample_median.add(sample.and_then(finite));
                    averages.kept.add(Some(*kept_bytes as f64));
                    averages.raw.add(Some(*raw_bytes as f64));
                }
                Record::WholeGradient { parameter, fidelity, .. } => {
                    let averages = self.parameter(parameter);
                    averages.cosine.add(fidelity.cosine);
                    averages.relative_error.add(fidelity.relative_error);
                }
                _ => {}
            }
        }
    }

    fn layer(&mut self, layer: &str) -> &mut LayerAverages {
        let place = self.places.get(layer).copied().unwrap_or_else(|| {
            self.places.insert(layer.to_owned(), self.layers.len());
            self.layers.push(LayerAverages { layer: layer.to_owned(), ..Default::default() });
            self.layers.len() - 1
        });
        &mut self.layers[place]
    }

    fn parameter(&mut self, parameter: &str) -> &mut ParameterAverages {
        let place = self.parameter_places.get(parameter).copied().unwrap_or_else(|| {
            self.parameter_places.insert(parameter.to_owned(), self.parameters.len());
            let parameter = parameter.to_owned();
            self.parameters.push(ParameterAverages { parameter, ..Default::default() });
            self.parameters.len() - 1
        });
        &mut self.parameters[place]
    }
}

impl LayerAverages {
    fn of_seed(&mut self, seed: u64) -> &mut Average {
        // Runs are added one after another, so that the seed is the last one.
        if self.by_seed.last().is_none_or(|(last, _)| *last != seed) {
            self.by_seed.push((seed, Average::default()));
        }
        let last = self.by_seed.len() - 1;
        &mut self.by_seed[last].1
    }
}

#[cfg(test)]
mod tests {
    use packlight_record::Fidelity;

    use super::*;

    fn whole(step: u64, cosine: Option<f64>) -> Record {
        let (relative_error, norm_ratio, snr_db) = (cosine.map(|c| 1.0 - c), None, None);
        let fidelity = Fidelity { cosine, relative_error, norm_ratio, snr_db, exact_norm: 1.0 };
        Record::WholeGradient { epoch: 0, step, parameter: "fc".into(), fidelity, draws: None }
    }

    #[test]
    fn as_many_steps_as_asked_for_are_left_the_ends_included() {
        for (of, most) in [(41u64, 40usize), (1000, 40), (79, 40), (80, 40), (10, 3), (10, 2)] {
            let mut records = vec![Record::Finished { step: 7 }];
            records.extend((0..of).map(|step| whole(3 * step, Some(0.5))));
            assert_eq!(thin(&mut records, most), Drawn { steps: most, of: of as usize });
            let steps: Vec<u64> = records
                .iter()
                .filter_map(|record| match record {
                    Record::WholeGradient { step, .. } => Some(*step),
                    _ => None,
                })
                .collect();
            assert_eq!((steps.len(), records.len()), (most, most + 1), "{of}, {most}");
            assert_eq!((steps[0], steps[most - 1]), (0, 3 * (of - 1)), "{of}, {most}");
            let gaps: Vec<u64> = steps.windows(2).map(|pair| pair[1] - pair[0]).collect();
            let (least, largest) = (gaps.iter().min().unwrap(), gaps.iter().max().unwrap());
            assert!(largest - least <= 3, "{gaps:?}");
        }
        let mut few: Vec<Record> = (0..40).map(|step| whole(step, None)).collect();
        assert_eq!(thin(&mut few, 40), Drawn { steps: 40, of: 40 });
        assert_eq!(few.len(), 40);
    }

    #[test]
    fn averages_leave_out_what_is_undefined() {
        let mut averages = Averages::default();
        averages.add(1, &[whole(0, Some(0.5)), whole(1, None), whole(2, Some(0.25))]);
        averages.add(2, &[whole(0, Some(0.75))]);
        let [found] = &averages.parameters[..] else { panic!("{averages:?}") };
        assert_eq!((found.cosine.mean(), found.cosine.low, found.cosine.high), (0.5, 0.25, 0.75));
        assert_eq!(found.relative_error.high, 0.75);
        assert!(Average::default().mean().is_nan() && Average::default().low.is_nan());
    }
}
