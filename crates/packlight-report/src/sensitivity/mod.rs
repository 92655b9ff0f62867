//! What was measured of single layers: `sensitivity.html`, with its figures and tables.
//!
//! All errors on the page are those of the whole gradient, relative to its norm, that averaging over
//! steps leaves ([`packlight_record::Score::lasting_error`]), as roots of mean squares, so that those of
//! several layers add as squares.

mod contest;
mod figures;
mod findings;
mod level;
mod page;
pub(crate) mod ranking;
mod scores;
mod tables;
mod verified;

use std::path::{Path, PathBuf};

use packlight_allocation::{Allocation, Measured, Objective, Selection, knee};
use packlight_figure::Caption;
use packlight_spec::Grid;
use serde::Serialize;

use crate::format::{count, list};
use crate::report::write_figure;
use crate::{Error, Result, format, stale, tables as csv};
pub use contest::{AccuracyDifference, Contest, Rival};
use ranking::Row;
use scores::Scores;
use verified::{Verified, Verifying};

/// The page's file.
pub(crate) const PAGE: &str = "sensitivity.html";

/// The files of the page on single layers, and its findings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SensitivitySummary {
    /// The page.
    #[serde(serialize_with = "format::path")]
    pub page: PathBuf,
    /// The figures as SVG; the data of each is beside it as CSV.
    #[serde(serialize_with = "format::paths")]
    pub figures: Vec<PathBuf>,
    /// The scores and the ranking as CSV tables.
    #[serde(serialize_with = "format::paths")]
    pub tables: Vec<PathBuf>,
    /// What the scores show, in sentences.
    pub findings: Vec<String>,
}

/// The scores of a study, evaluated.
pub(crate) struct Sensitivity {
    name: String,
    pub(crate) title: String,
    scores: Scores,
    pub(crate) measured: Measured,
    /// In the order in which they were first measured.
    pub(crate) codecs: Vec<String>,
    pub(crate) rows: Vec<Row>,
    /// By falling bytes.
    frontier: Vec<Allocation>,
    /// The place of the knee in the frontier.
    knee: Option<usize>,
    /// Plans that were trained to check what is predicted of them.
    verified: Verified,
    /// The same plans by what was measured of their whole gradients.
    contests: Vec<Contest>,
}

impl Sensitivity {
    /// Reads the scores of the study in `folder`; `None` if there is no log, or no score in it yet.
    ///
    /// # Errors
    /// Returns an error if the log cannot be read, is damaged or mixes two studies, or if a study that
    /// verifies a plan cannot be read.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>> {
        let Some(scores) = Scores::read(folder)? else { return Ok(None) };
        if scores.is_empty() {
            return Ok(None);
        }
        let measured = Measured::of(&scores.log, &Selection::default())?;
        let verifying = verified::studies(folder)?;
        let frontier = measured.frontier(Objective::Sum);
        let rows = ranking::rows(&measured, &scores);
        let (name, title) = names(folder);
        Ok(Some(Self {
            name,
            title,
            codecs: scores.codecs(),
            knee: knee(&frontier),
            verified: Verified::of(&verifying, &scores)?,
            contests: contests(&verifying)?,
            scores,
            measured,
            rows,
            frontier,
        }))
    }

    /// Writes page, figures and tables into `folder`, replacing earlier ones. `with_runs` says that the
    /// study's own page is beside it.
    ///
    /// # Errors
    /// Returns an error if a figure cannot be drawn or a file cannot be written.
    pub(crate) fn write(&self, folder: &Path, with_runs: bool) -> Result<SensitivitySummary> {
        let figures = figures::all(self)?;
        let folder_of_tables = folder.join("tables");
        let tables = [
            self.scores.write(&folder_of_tables)?,
            csv::write(&folder_of_tables, "sensitivity-ranking", &ranking::table(&self.rows)?)?,
        ];
        let drawings: Result<Vec<PathBuf>> =
            figures.iter().map(|figure| write_figure(folder, figure)).collect();
        let findings = findings::findings(self);
        let html = page::page(self, &figures, &findings, &tables, with_runs);
        let page = folder.join(PAGE);
        stale::replace(&page, &html)?;
        let tables = tables.iter().map(|table| folder_of_tables.join(table)).collect();
        Ok(SensitivitySummary { page, figures: drawings?, tables, findings })
    }

    /// What was measured: the subtitle of every figure.
    fn setting(&self) -> String {
        let layers = self.measured.layers().iter().filter(|layer| layer.choices.len() > 1).count();
        let log = &self.scores.log;
        let points: Vec<String> = log.points().iter().map(ToString::to_string).collect();
        let (batches, draws) = log.batches_and_draws();
        format!(
            "{} at {}; exact training at {}; {}, {}, {}",
            count(self.codecs.len() as u64, "codec"),
            count(layers as u64, "layer"),
            list(&points),
            count(log.seeds().len() as u64, "seed"),
            match batches {
                1 => "1 batch".to_owned(),
                n => format!("{n} batches"),
            },
            count(draws, "draw"),
        )
    }

    fn caption(&self, id: &str, title: impl Into<String>) -> Caption {
        Caption::new(format!("sensitivity-{id}"), title).subtitle(self.setting())
    }

    /// The plan of each codec at all layers that were measured with it.
    fn uniform(&self) -> impl Iterator<Item = (&str, Allocation)> {
        self.codecs.iter().filter_map(|codec| Some((&**codec, self.measured.uniform(codec)?)))
    }

    /// Bytes as a share of those of everything exact.
    fn share(&self, bytes: u64) -> f64 {
        bytes as f64 / self.measured.exact_bytes() as f64
    }
}

/// What was measured in the folders of studies that verify a plan.
fn contests(verifying: &[Verifying]) -> Result<Vec<Contest>> {
    let read = verifying.iter().map(|of| Contest::of(&of.folder, of.study.as_ref()));
    read.filter_map(Result::transpose).collect()
}

/// Name and title of the study in `folder`; the folder's own name where `study.toml` has none.
fn names(folder: &Path) -> (String, String) {
    match Grid::read(folder) {
        Ok(Some(grid)) => (grid.name, grid.title),
        _ => {
            let full = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
            let name = full.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (name.clone(), name)
        }
    }
}

/// That nothing was measured in `folder`, of runs or of single layers.
pub(crate) fn nothing(folder: &Path, no_runs: Error) -> Error {
    match Scores::read(folder) {
        Ok(Some(_)) => Error::NoScores { study: folder.to_path_buf() },
        _ => no_runs,
    }
}
