//! `packlight report`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use packlight::record::layout::{RUNS, SENSITIVITY, STUDY, TABLES};
use packlight::report::{self, Summary};
use packlight::spec::Collection;

use super::study_folder;
use crate::output::{Output, say};
use crate::tables;

/// Write a study's report from its records.
///
/// Reads DIR/runs and writes DIR/index.html, one self-contained page, DIR/figures, each figure with
/// its data, and DIR/tables. Failed and unfinished runs are included as far as they got; folders
/// that hold no run of the study, such as copies, are left out and listed. If DIR/study.toml names
/// other studies, each of them gets its own page, and DIR/index.html compares them. What was measured
/// of single layers, in DIR/sensitivity, has a page of its own, DIR/sensitivity.html.
///
/// If DIR has published tables in place of a study, DIR/tables.toml, each of their numbers is counted
/// from shapes as `packlight plan` does, and DIR/index.html lays both side by side.
///
/// With --beside, nothing of this is written, but DIR/beside-OTHER.html: both studies' plans and single
/// layers side by side, with each change and whether it exceeds the noise, and the settings that differ.
#[derive(Args)]
#[command(after_help = "\
Examples:
  packlight report reports/quickstart
  packlight report reports/quickstart --json
  packlight report reports/methods        # several studies
  packlight report reports/tables         # published tables, by counting
  packlight report reports/mine --beside reports/other    # what changed from mine to other")]
pub(crate) struct Arguments {
    /// The folder of a study, a collection or published tables
    dir: PathBuf,
    /// Lay this study beside that in DIR, instead of DIR's own report
    #[arg(long, value_name = "OTHER")]
    beside: Option<PathBuf>,
    /// Print a summary as JSON
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(crate) fn run(self, out: &mut Output) -> anyhow::Result<ExitCode> {
        if let Some(other) = &self.beside {
            return self.beside(other, out);
        }
        if self.dir.join(TABLES).is_file() {
            return self.tables(out);
        }
        study_folder::check(&self.dir, "report", &[STUDY, RUNS, SENSITIVITY])?;
        if let Some(collection) = Collection::find(&self.dir)? {
            let summary = report::write_collection(&collection, &self.dir)?;
            summary.studies.iter().for_each(say_what_is_left_out);
            if self.json {
                out.json(&summary)?;
            } else {
                for study in &summary.studies {
                    writeln!(out, "{}", study.page.display())?;
                }
                writeln!(out, "{}", summary.page.display())?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        let summary = report::write(&self.dir)?;
        say_what_is_left_out(&summary);
        if self.json {
            out.json(&summary)?;
        } else {
            for finding in &summary.findings {
                writeln!(out, "{}: {}", finding.verdict.word(), finding.headline)?;
            }
            if let Some(layers) = &summary.sensitivity {
                for finding in &layers.findings {
                    writeln!(out, "{finding}")?;
                }
                writeln!(out, "{}", layers.page.display())?;
            }
            if summary.sensitivity.as_ref().is_none_or(|layers| layers.page != summary.page) {
                writeln!(out, "{}", summary.page.display())?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Two studies side by side.
    fn beside(&self, other: &Path, out: &mut Output) -> anyhow::Result<ExitCode> {
        for dir in [&*self.dir, other] {
            study_folder::check(dir, "report", &[STUDY, RUNS, SENSITIVITY])?;
            if let Some(collection) = Collection::find(dir)? {
                let study =
                    collection.studies.first().map(|name| dir.join(name)).unwrap_or_default();
                bail!(
                    "{} is a collection of studies; name one of them, such as {}",
                    dir.display(),
                    study.display()
                );
            }
        }
        let summary = report::write_beside(&self.dir, other)?;
        if self.json {
            out.json(&summary)?;
        } else {
            for finding in &summary.findings {
                writeln!(out, "{finding}")?;
            }
            writeln!(out, "{}", summary.page.display())?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Counts for published tables.
    fn tables(&self, out: &mut Output) -> anyhow::Result<ExitCode> {
        let summary = report::write_counted(&self.dir, &tables::count(&self.dir)?)?;
        if self.json {
            out.json(&summary)?;
        } else {
            let report::CountedSummary { rows, cells, counted, agree, .. } = &summary;
            writeln!(
                out,
                "{rows} rows for {cells} published cells, {counted} counted, {agree} agree to the last printed digit"
            )?;
            writeln!(out, "{}", summary.page.display())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn say_what_is_left_out(summary: &Summary) {
    let study = summary.page.with_file_name("");
    for left in &summary.left_out {
        let folder = study.join(RUNS).join(&left.folder);
        say(format_args!("left out: {}: {}", folder.display(), left.reason));
    }
}
