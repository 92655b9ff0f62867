//! Records into tables, figures and one self-contained page.
//!
//! [`write()`] reads the runs of a study from disk (`runs/<run>/manifest.json`, `records.jsonl`,
//! `measurements.jsonl`), and from `study.toml` which runs there are to be, and writes beside them
//! `index.html`, `figures/` (each figure as SVG with its data as CSV) and `tables/` (the records as
//! CSV). The page needs neither network nor scripts. Runs that failed, are unfinished, damaged or
//! not started are named at its top.
//!
//! This crate knows nothing of candle: a report can be made where no network is trained.

mod codec_name;
mod drawings;
mod draws;
mod error;
mod file;
mod finding;
mod frame;
mod grid;
mod head_to_head;
mod lists;
mod page;
mod plan;
mod published;
mod stale;
mod student;
mod study;
mod tables;
mod words;

use std::path::{Path, PathBuf};

use serde::Serialize;

pub use error::{Error, Result};
pub use finding::{Finding, Verdict};

/// What a report consists of and what it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The page.
    pub page: PathBuf,
    /// The figures' drawings; the data of each is beside it as CSV.
    pub figures: Vec<PathBuf>,
    /// The records as tables.
    pub tables: Vec<PathBuf>,
    /// Runs that came to their planned end.
    pub finished: usize,
    /// Runs in progress, interrupted or killed.
    pub unfinished: usize,
    /// Runs that ended with an error, or whose records are damaged.
    pub failed: usize,
    /// Runs that the study asks for and that have not been started.
    pub missing: usize,
    /// What the study shows.
    pub findings: Vec<Finding>,
}

/// Writes the report of the study in `study_dir`, over an earlier one, of whose figures and tables
/// those are removed that the new one does not have.
///
/// # Errors
/// If the study has no runs, a folder cannot be read or a file cannot be written. Failed and
/// damaged runs are no error: the report names them.
pub fn write(study_dir: &Path) -> Result<Summary> {
    let study = study::Study::read(study_dir)?;
    let tables = tables::Tables::new(&study)?;
    let plans = plan::rows(&study, &tables)?;
    let findings = finding::findings(&plans, study.baseline().map(|b| b.name.as_str()));
    let source =
        drawings::Source { study: &study, tables: &tables, plans: &plans, findings: &findings };
    let shelves = drawings::all(&source)?;
    let tables_dir = study_dir.join("tables");
    let mut table_files = Vec::new();
    if !plans.is_empty() {
        let table = head_to_head::frame(&plans, source.base())?;
        table_files.push(tables::write(&tables_dir, "head-to-head", &table)?);
    }
    table_files.extend(tables.write(&tables_dir)?);
    let mut drawings = Vec::new();
    for figure in shelves.iter().flat_map(|shelf| &shelf.figures) {
        let svg = study_dir.join("figures").join(format!("{}.svg", figure.id));
        file::write(&svg, figure.svg.as_bytes())?;
        file::write(&svg.with_extension("csv"), figure.csv.as_bytes())?;
        drawings.push(svg);
    }
    let page = study_dir.join("index.html");
    let html = page::page(&source, &shelves, &table_files);
    let old = std::fs::read_to_string(&page).unwrap_or_default(); // there may be none
    file::write(&page, html.as_bytes())?;
    stale::remove(study_dir, &old, &html)?;
    let count =
        |wanted: fn(&study::State) -> bool| study.runs.iter().filter(|r| wanted(&r.state)).count();
    Ok(Summary {
        page,
        figures: drawings,
        tables: table_files.iter().map(|t| tables_dir.join(t)).collect(),
        finished: count(|s| *s == study::State::Finished),
        unfinished: count(|s| *s == study::State::Unfinished),
        failed: count(|s| matches!(s, study::State::Failed(_) | study::State::Damaged(_)))
            + study.unreadable.len(),
        missing: study.missing.len(),
        findings: findings.to_vec(),
    })
}
