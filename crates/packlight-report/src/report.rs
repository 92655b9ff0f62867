//! The report of one study.

use std::path::{Path, PathBuf};

use packlight_figure::Figure;

use crate::figures::{self, Source};
use crate::finding::{self, Finding};
use crate::plan::PlanRow;
use crate::probed::MOST_STEPS;
use crate::sensitivity::{self, Sensitivity};
use crate::study::{State, Study};
use crate::tables::{self, Tables};
use crate::{Error, Result, Summary, answers, file, head_to_head, page, rivals, rows, stale};

/// A study's records, evaluated.
pub(crate) struct Report {
    study: Study,
    tables: Tables,
    plans: Vec<PlanRow>,
    findings: Vec<Finding>,
    sensitivity: Option<Sensitivity>,
}

impl Report {
    /// Reads the records of the study in `folder`.
    ///
    /// # Errors
    /// Returns an error if the study has no runs, the log of scores is damaged, or the folder cannot be
    /// read.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let study = Study::read(folder, MOST_STEPS)?;
        let tables = Tables::new(&study)?;
        let plans = rows::rows(&study, &tables)?;
        let base = study.baseline().map(|b| b.name.as_str());
        let findings = finding::findings(&plans, base, &tables.layers, study.scales().is_empty());
        let sensitivity = Sensitivity::read(folder)?;
        Ok(Self { study, tables, plans, findings, sensitivity })
    }

    /// The input of tables and figures.
    pub(crate) fn source(&self) -> Source<'_> {
        let Self { study, tables, plans, findings, .. } = self;
        Source { study, tables, plans, findings }
    }

    /// Writes page, figures and tables into `folder`, replacing earlier ones.
    ///
    /// # Errors
    /// Returns an error if a figure cannot be drawn or a file cannot be written.
    pub(crate) fn write(&self, folder: &Path) -> Result<Summary> {
        let source = self.source();
        let groups = figures::all(&source)?;
        let tables_dir = folder.join("tables");
        let mut table_files = Vec::new();
        if !self.plans.is_empty() {
            let table = head_to_head::frame(&self.plans)?;
            table_files.push(tables::write(&tables_dir, "head-to-head", &table)?);
        }
        table_files.extend(self.tables.write(&tables_dir)?);
        let mut drawings = Vec::new();
        for figure in groups.iter().flat_map(|group| &group.figures) {
            drawings.push(write_figure(folder, figure)?);
        }
        let page = folder.join("index.html");
        let html = page::page(&source, &groups, &table_files, self.sensitivity.is_some());
        stale::replace(&page, &html)?;
        let sensitivity = self.sensitivity.as_ref().map(|layers| layers.write(folder, true));
        let study = &self.study;
        let count =
            |wanted: fn(&State) -> bool| study.runs.iter().filter(|r| wanted(&r.state)).count();
        Ok(Summary {
            page,
            figures: drawings,
            tables: table_files.iter().map(|t| tables_dir.join(t)).collect(),
            finished: count(|s| *s == State::Finished),
            unfinished: count(|s| *s == State::Unfinished),
            failed: count(|s| matches!(s, State::Failed(_) | State::Damaged(_)))
                + study.unreadable.len(),
            missing: study.missing.len(),
            left_out: study.left_out.clone(),
            scales: study.scales().iter().map(f64::to_string).collect(),
            verdict: rivals::verdict(&source),
            answers: answers::answers(&source),
            findings: self.findings.clone(),
            sensitivity: sensitivity.transpose()?,
        })
    }
}

/// Writes the page on single layers of a study without runs.
///
/// # Errors
/// Returns `no_runs` if there are no scores either, or an error if their log cannot be read or a file
/// cannot be written.
pub(crate) fn write_sensitivity(folder: &Path, no_runs: Error) -> Result<Summary> {
    let Some(layers) = Sensitivity::read(folder)? else {
        return Err(sensitivity::nothing(folder, no_runs));
    };
    let written = layers.write(folder, false)?;
    Ok(Summary {
        page: written.page.clone(),
        figures: written.figures.clone(),
        tables: written.tables.clone(),
        finished: 0,
        unfinished: 0,
        failed: 0,
        missing: 0,
        left_out: Vec::new(),
        scales: Vec::new(),
        verdict: None,
        answers: Vec::new(),
        findings: Vec::new(),
        sensitivity: Some(written),
    })
}

/// Writes a figure into `figures/` of `folder`, with its data beside it, and returns the drawing's path.
///
/// # Errors
/// Returns an error if a file cannot be written.
pub(crate) fn write_figure(folder: &Path, figure: &Figure) -> Result<PathBuf> {
    let svg = folder.join("figures").join(format!("{}.svg", figure.id));
    file::write(&svg, figure.svg.as_bytes())?;
    file::write(&svg.with_extension("csv"), figure.csv.as_bytes())?;
    Ok(svg)
}
