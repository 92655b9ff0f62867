//! The log of scores: read once, averaged, and in part as a table.

use std::path::Path;

use packlight_allocation::{Brief, Log, Selection};
use packlight_record::log::Values;
use packlight_record::{Score, SensitivityRecord, WholeError, fold_log};
use packlight_spec::Point;
use packlight_spec::layout::{SCORES, SENSITIVITY};
use rayon::prelude::*;

use crate::bias_and_variance::EARLY;
use crate::probed::Average;
use crate::tables::finite;
use crate::{Error, Result, file};

/// Of each point of each training, scores of so many batches are listed.
pub(crate) const LISTED: u64 = 50;
/// Rows that become CSV together.
const ROWS: usize = 8192;

/// Everything that was recorded of single layers.
#[derive(Debug)]
pub(crate) struct Scores {
    pub(crate) log: Log,
    /// Whether an incomplete last line was dropped.
    pub(crate) torn: bool,
    /// The scores of the first batches, in the order in which they were measured.
    rows: Vec<Row>,
}

/// A score that is listed, with the number of its series in the log.
#[derive(Debug, Clone)]
struct Row {
    series: usize,
    point: Point,
    seed: u64,
    batch: u64,
    draws: u64,
    kept_bytes: u64,
    error: WholeError,
    cosine: Option<f64>,
    relative_error: Option<f64>,
    exact_norm: f64,
    /// Median of the learning indicator, and its share at or below 0.
    indicator: Option<(f64, f64)>,
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
        let mut scores = Self { log: Log::default(), torn: false, rows: Vec::new() };
        let torn = fold_log(&path, short, |(log, rows)| {
            let numbers = scores.log.append(log);
            let here = |row: Row| Row { series: numbers[row.series], ..row };
            scores.rows.extend(rows.into_iter().map(here));
        });
        let study = folder.to_path_buf();
        scores.torn = torn.map_err(|source| Error::Scores { study, source })?;
        Ok(Some(scores))
    }

    /// Whether nothing was measured.
    pub(crate) fn is_empty(&self) -> bool {
        self.log.series().next().is_none()
    }

    /// The averages of some values over the scores of each layer and codec, in the order in which these were
    /// first measured.
    pub(crate) fn averages<const N: usize>(
        &self,
        values: impl Fn(&Brief) -> [Option<f64>; N],
    ) -> Vec<(&str, &str, [Average; N])> {
        let average = |scores: &[Brief]| {
            let mut averages = [Average::default(); N];
            for score in scores {
                averages.iter_mut().zip(values(score)).for_each(|(own, value)| own.add(value));
            }
            averages
        };
        let series = self.log.series();
        series.map(|(layer, codec, scores)| (layer, codec, average(scores))).collect()
    }

    /// The codecs in the order in which they were first measured.
    pub(crate) fn codecs(&self) -> Vec<String> {
        let mut codecs: Vec<String> = Vec::new();
        for (_, codec, _) in self.log.series() {
            if codecs.iter().all(|known| known != codec) {
                codecs.push(codec.to_owned());
            }
        }
        codecs
    }

    /// The means of the scores of early training, if there are any, or of all. Those `of_one_pass` are of the
    /// whole error instead of what averaging over steps leaves.
    pub(crate) fn early(&self, of_one_pass: bool) -> Selection {
        let early = self.log.points().into_iter().filter(|point| point.share() <= EARLY);
        let early: Vec<Point> = early.collect();
        let points = (!early.is_empty()).then_some(early);
        Selection { points, of_one_pass, without_intervals: true, ..Selection::default() }
    }

    /// Whether some scores are not listed.
    pub(crate) fn is_cut(&self) -> bool {
        self.log.batches_and_draws().0 > LISTED
    }

    /// Writes a table of the listed scores to `folder` as CSV and returns the file's name.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub(crate) fn write(&self, folder: &Path) -> Result<String> {
        const NAME: &str = "sensitivity-scores.csv";
        let names: Vec<(&str, &str)> = self.log.series().map(|of| (of.0, of.1)).collect();
        let csv = |rows: &[Row]| {
            texts(rows.iter().map(|row| {
                let (layer, codec) = names[row.series];
                row.fields(layer, codec)
            }))
        };
        file::write_parts(&folder.join(NAME), |write| {
            write(&texts([COLUMNS])?)?;
            // Some at a time, so that not all texts lie in memory at once.
            for rows in self.rows.chunks(ROWS * rayon::current_num_threads()) {
                let parts: Vec<Result<Vec<u8>>> = rows.par_chunks(ROWS).map(csv).collect();
                for part in parts {
                    write(&part?)?;
                }
            }
            Ok(())
        })?;
        Ok(NAME.to_owned())
    }
}

/// Lines of CSV.
fn texts<T: AsRef<[u8]>>(lines: impl IntoIterator<Item = [T; 18]>) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for line in lines {
        writer.write_record(line)?;
    }
    Ok(writer.into_inner().map_err(|e| csv::Error::from(e.into_error()))?)
}

/// What is kept of a block of the log.
fn short(records: &mut Values<'_, SensitivityRecord>) -> (Log, Vec<Row>) {
    let (mut log, mut rows) = (Log::default(), Vec::new());
    for record in records {
        let series = log.add(&record);
        if let (Some(series), SensitivityRecord::Score(score)) = (series, &record)
            && score.batch < LISTED
        {
            rows.push(Row::new(series, score));
        }
    }
    (log, rows)
}

const COLUMNS: [&str; 18] = [
    "point",
    "seed",
    "batch",
    "draws",
    "layer",
    "codec",
    "squared_error",
    "squared_bias",
    "whole_norm",
    "error",
    "relative_squared_bias",
    "relative_variance",
    "cosine",
    "relative_error",
    "exact_norm",
    "li_median",
    "li_nonpositive",
    "kept_bytes",
];

impl Row {
    fn new(series: usize, score: &Score) -> Self {
        Self {
            series,
            point: score.point,
            seed: score.seed,
            batch: score.batch,
            draws: score.draws,
            kept_bytes: score.kept_bytes,
            error: score.whole_error(),
            cosine: score.fidelity.cosine,
            relative_error: score.fidelity.relative_error,
            exact_norm: score.fidelity.exact_norm,
            indicator: score.learning_indicator.map(|li| (li.median, li.nonpositive)),
        }
    }

    /// The fields in the order of [`COLUMNS`].
    fn fields(&self, layer: &str, codec: &str) -> [String; 18] {
        let number = |value: Option<f64>| {
            value.and_then(finite).map(|value| format!("{value:?}")).unwrap_or_default()
        };
        let WholeError { squared_error, squared_bias, whole_norm } = self.error;
        [
            format!("{:?}", self.point.share()),
            self.seed.to_string(),
            self.batch.to_string(),
            self.draws.to_string(),
            layer.to_owned(),
            codec.to_owned(),
            number(Some(squared_error)),
            number(squared_bias),
            number(Some(whole_norm)),
            number(Some(squared_error.sqrt() / whole_norm)),
            number(self.error.relative_squared_bias()),
            number(self.error.relative_variance()),
            number(self.cosine),
            number(self.relative_error),
            number(Some(self.exact_norm)),
            number(self.indicator.map(|(median, _)| median)),
            number(self.indicator.map(|(_, nonpositive)| nonpositive)),
            self.kept_bytes.to_string(),
        ]
    }
}
