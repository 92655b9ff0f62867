//! The log of scores: read, checked and as a table.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use packlight_record::{Score, SensitivityRecord, read_log};
use packlight_spec::Point;
use packlight_spec::layout::{SCORES, SENSITIVITY};
use polars::prelude::*;

use crate::bias_and_variance::EARLY;
use crate::probed::Average;
use crate::tables::finite;
use crate::{Error, Result};

/// Everything that was recorded of single layers.
#[derive(Debug)]
pub(crate) struct Scores {
    pub(crate) records: Vec<SensitivityRecord>,
    /// Whether an incomplete last line was dropped.
    pub(crate) torn: bool,
}

impl Scores {
    /// Reads the log of the study in `folder`; `None` if there is none.
    ///
    /// # Errors
    /// Returns an error if the log cannot be read or is damaged.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(SENSITIVITY).join(SCORES);
        if !path.try_exists().map_err(|e| Error::io(&path, e))? {
            return Ok(None);
        }
        let study = folder.to_path_buf();
        let log = read_log(&path).map_err(|source| Error::Scores { study, source })?;
        Ok(Some(Self { records: log.values, torn: log.torn }))
    }

    /// The measurements in the order in which they were made.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Score> {
        self.records.iter().filter_map(|record| match record {
            SensitivityRecord::Score(score) => Some(score),
            _ => None,
        })
    }

    /// The averages of some values over the scores of each layer and codec, in the order in which these were
    /// first measured.
    pub(crate) fn averages<const N: usize>(
        &self,
        values: impl Fn(&Score) -> [Option<f64>; N],
    ) -> Vec<(&str, &str, [Average; N])> {
        let mut places: HashMap<(&str, &str), usize> = HashMap::new();
        let mut averages = Vec::new();
        for score in self.all() {
            let (layer, codec) = (score.layer.as_str(), score.codec.as_str());
            let place = *places.entry((layer, codec)).or_insert_with(|| {
                averages.push((layer, codec, [Average::default(); N]));
                averages.len() - 1
            });
            let (_, _, own) = &mut averages[place];
            own.iter_mut().zip(values(score)).for_each(|(average, value)| average.add(value));
        }
        averages
    }

    /// The codecs in the order in which they were first measured.
    pub(crate) fn codecs(&self) -> Vec<String> {
        let mut codecs: Vec<String> = Vec::new();
        for score in self.all() {
            if !codecs.contains(&score.codec) {
                codecs.push(score.codec.clone());
            }
        }
        codecs
    }

    /// The points of training, ascending.
    pub(crate) fn points(&self) -> Vec<Point> {
        let mut points: Vec<Point> = self.all().map(|score| score.point).collect();
        points.sort_by(|a, b| a.share().total_cmp(&b.share()));
        points.dedup();
        points
    }

    /// The seeds, ascending.
    pub(crate) fn seeds(&self) -> Vec<u64> {
        let seeds: BTreeSet<u64> = self.all().map(|score| score.seed).collect();
        seeds.into_iter().collect()
    }

    /// The most batches at a point of a seed, and the most draws of a batch.
    pub(crate) fn batches_and_draws(&self) -> (u64, u64) {
        let most = |of: fn(&Score) -> u64| self.all().map(of).max().unwrap_or_default();
        (most(|score| score.batch + 1), most(|score| score.draws))
    }

    /// The records without scores that are not of early training, if there are early ones. Those `of_one_pass`
    /// have the whole error instead of what averaging over steps leaves.
    pub(crate) fn early(&self, of_one_pass: bool) -> Vec<SensitivityRecord> {
        let is_early = |point: Point| point.share() <= EARLY;
        let any = self.all().any(|score| is_early(score.point));
        let mut records = self.records.clone();
        records.retain(|record| !any || place(record).is_none_or(|(point, _)| is_early(point)));
        for record in &mut records {
            if let SensitivityRecord::Score(score) = record
                && of_one_pass
            {
                score.squared_bias = None;
            }
        }
        records
    }

    /// The records without the scores of other seeds.
    pub(crate) fn of_seed(&self, seed: u64) -> Vec<SensitivityRecord> {
        let own = |r: &&SensitivityRecord| place(r).is_none_or(|(_, of)| of == seed);
        self.records.iter().filter(own).cloned().collect()
    }

    /// One row for each score.
    pub(crate) fn table(&self) -> Result<DataFrame> {
        let all: Vec<&Score> = self.all().collect();
        let numbers = |of: fn(&Score) -> Option<f64>| -> Vec<Option<f64>> {
            all.iter().map(|score| of(score).and_then(finite)).collect()
        };
        let counts = |of: fn(&Score) -> u64| all.iter().map(|s| of(s)).collect::<Vec<_>>();
        let texts =
            |of: fn(&Score) -> &String| all.iter().map(|s| of(s).clone()).collect::<Vec<_>>();
        Ok(df!(
            "point" => all.iter().map(|score| score.point.share()).collect::<Vec<_>>(),
            "seed" => counts(|s| s.seed),
            "batch" => counts(|s| s.batch),
            "draws" => counts(|s| s.draws),
            "layer" => texts(|s| &s.layer),
            "codec" => texts(|s| &s.codec),
            "squared_error" => numbers(|s| Some(s.squared_error)),
            "squared_bias" => numbers(|s| s.squared_bias),
            "whole_norm" => numbers(|s| Some(s.whole_norm)),
            "error" => numbers(|s| Some(s.squared_error.sqrt() / s.whole_norm)),
            "relative_squared_bias" => numbers(Score::relative_squared_bias),
            "relative_variance" => numbers(Score::relative_variance),
            "cosine" => numbers(|s| s.fidelity.cosine),
            "relative_error" => numbers(|s| s.fidelity.relative_error),
            "exact_norm" => numbers(|s| Some(s.fidelity.exact_norm)),
            "li_median" => numbers(|s| Some(s.learning_indicator?.median)),
            "li_nonpositive" => numbers(|s| Some(s.learning_indicator?.nonpositive)),
            "kept_bytes" => counts(|s| s.kept_bytes),
        )?)
    }
}

/// The point and the seed at which something was measured; `None` for facts about the network.
fn place(record: &SensitivityRecord) -> Option<(Point, u64)> {
    match record {
        SensitivityRecord::Score(score) => Some((score.point, score.seed)),
        SensitivityRecord::Loss(change) => Some((change.point, change.seed)),
        SensitivityRecord::OneOff(one_off) => Some((one_off.point, one_off.seed)),
        _ => None,
    }
}
