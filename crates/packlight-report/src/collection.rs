//! Several studies side by side: a page for each, and one on which they stand head to head.

use std::path::{Path, PathBuf};

use maud::{Markup, html};
use serde::Serialize;

use crate::across::{Column, across};
use crate::document::document;
use crate::drawings::Source;
use crate::page::drawing_in;
use crate::report::Report;
use crate::{Error, Result, Summary, file, lists, words};

/// Several studies that are reported together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collection {
    /// What it is about, as a person would say it.
    pub title: String,
    /// The names of the studies' folders within the collection's.
    pub studies: Vec<String>,
}

/// What the report of a collection consists of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CollectionSummary {
    /// The page on which the studies stand head to head.
    #[serde(serialize_with = "words::path")]
    pub page: PathBuf,
    /// The report of each study of which there are runs.
    pub studies: Vec<Summary>,
    /// The studies of which there are none.
    pub missing: Vec<String>,
}

impl Collection {
    /// Reads the collection in `folder`; `None` where no `study.toml` there names studies, so that
    /// the folder is one study's.
    ///
    /// # Errors
    /// If they are not names of folders beside the file.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let collection = packlight_spec::Collection::find(folder)?;
        Ok(collection.map(|packlight_spec::Collection { title, studies }| Self { title, studies }))
    }

    /// Writes the report of each study into its folder, and the page on which they stand head to
    /// head into `folder`.
    ///
    /// # Errors
    /// If no study has runs, a folder cannot be read or a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<CollectionSummary> {
        let (mut studies, mut missing) = (Vec::new(), Vec::new());
        let (mut columns, mut sections) = (Vec::new(), Vec::new());
        for name in &self.studies {
            let report = match Report::read(&folder.join(name)) {
                Ok(report) => report,
                Err(Error::NoRuns { .. }) => {
                    missing.push(name.clone());
                    continue;
                }
                Err(error) => return Err(error),
            };
            studies.push(report.write(&folder.join(name))?);
            let source = report.source();
            columns.push(Column::new(name, &source));
            sections.push(section(name, &source)?);
        }
        if studies.is_empty() {
            return Err(Error::NoRuns { study: folder.into(), runs: folder.into() });
        }
        let page = folder.join("index.html");
        let html = document(&self.title, &self.body(&columns, &sections, &studies, &missing));
        file::write(&page, html.as_bytes())?;
        Ok(CollectionSummary { page, studies, missing })
    }

    fn body(
        &self,
        columns: &[Column],
        sections: &[Markup],
        studies: &[Summary],
        missing: &[String],
    ) -> Markup {
        let left: usize = studies.iter().map(|s| s.unfinished + s.failed + s.missing).sum();
        let finished: usize = studies.iter().map(|s| s.finished).sum();
        html! {
            header {
                h1 { (self.title) }
                nav {
                    a href="#across" { "All together" }
                    @for column in columns { a href={ "#" (column.name) } { (column.name) } }
                }
            }
            main {
                @if left > 0 || !missing.is_empty() {
                    div .notice role="status" {
                        strong {
                            "This report is incomplete: " (finished) " of " (finished + left)
                            " runs have finished"
                            @for name in missing { ", and " (name) " has not been started" }
                            "."
                        }
                        " The studies' own pages name those that have not."
                    }
                }
                section #across {
                    h2 { "All together" }
                    (across(columns))
                }
                @for section in sections { (section) }
            }
        }
    }
}

/// One study: its table and its trade-offs, as its own page has them.
fn section(name: &str, source: &Source<'_>) -> Result<Markup> {
    let figures = source.tradeoffs()?;
    Ok(html! {
        section #(name) {
            h2 { (source.title()) }
            p .muted { (source.setting()) "." }
            p {
                a href={ (name) "/index.html" } { "The study's own page" }
                ": memory by every account, what the papers report, every figure, layer by layer."
            }
            (lists::head_to_head(source))
            @for figure in &figures { (drawing_in(figure, &format!("{name}/"))) }
        }
    })
}
