//! A collection of studies: a page for each, and one that compares them.

use std::path::{Path, PathBuf};

use maud::{Markup, html};
use packlight_figure::Figure;
use packlight_spec::Collection;
use serde::Serialize;

use crate::collection_table::{Column, collection_tables};
use crate::document::document;
use crate::figures::{Network, Source, collection_figure};
use crate::page::drawing_in;
use crate::report::{Report, write_figure};
use crate::sensitivity::PAGE;
use crate::{
    Error, Result, SensitivitySummary, Summary, answers, file, format, html_tables, notices,
};

/// The files of a collection's report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CollectionSummary {
    /// The page that compares the studies.
    #[serde(serialize_with = "format::path")]
    pub page: PathBuf,
    /// The report of each study that has runs.
    pub studies: Vec<Summary>,
    /// The studies that have none.
    pub missing: Vec<String>,
}

/// Writes the report of each study of the collection in `folder` into its own folder, and the page that
/// compares them into `folder`.
///
/// # Errors
/// Returns an error if no study has runs, a folder cannot be read or a file cannot be written.
pub fn write_collection(collection: &Collection, folder: &Path) -> Result<CollectionSummary> {
    let (mut studies, mut missing) = (Vec::new(), Vec::new());
    let (mut columns, mut networks, mut sections) = (Vec::new(), Vec::new(), Vec::new());
    for name in &collection.studies {
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
        let layers = studies.last().and_then(|summary| summary.sensitivity.as_ref());
        columns.push(Column::new(name, &source));
        networks.push(Network::new(name, &source));
        sections.push(section(name, &source, layers)?);
    }
    if studies.is_empty() {
        return Err(Error::NoRuns { study: folder.into(), runs: folder.into() });
    }
    let figure = collection_figure(&networks)?;
    if let Some(figure) = &figure {
        write_figure(folder, figure)?;
    }
    let page = folder.join("index.html");
    let html = document(
        &collection.title,
        &body(&collection.title, &columns, figure.as_ref(), &sections, &studies, &missing),
    );
    file::write(&page, html.as_bytes())?;
    Ok(CollectionSummary { page, studies, missing })
}

/// The page's content.
fn body(
    title: &str,
    columns: &[Column],
    figure: Option<&Figure>,
    sections: &[Markup],
    studies: &[Summary],
    missing: &[String],
) -> Markup {
    let left: usize = studies.iter().map(|s| s.unfinished + s.failed + s.missing).sum();
    let finished: usize = studies.iter().map(|s| s.finished).sum();
    let answered: Vec<_> =
        columns.iter().map(|column| (column.name.as_str(), column.answers.clone())).collect();
    html! {
        header {
            h1 { (title) }
            nav {
                a href="#summary" { "Summary" }
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
                    " The studies' own pages list the others."
                }
            }
            section #summary {
                h2 { "Summary" }
                (answers::table(&answered))
            }
            section #across {
                h2 { "All together" }
                @if let Some(figure) = figure { (drawing_in(figure, "")) }
                (collection_tables(columns))
            }
            @for section in sections { (section) }
        }
    }
}

/// One study: what was found of its single layers, its comparison table and its trade-offs, as on its own
/// pages.
fn section(name: &str, source: &Source<'_>, layers: Option<&SensitivitySummary>) -> Result<Markup> {
    let figures = source.tradeoffs()?;
    Ok(html! {
        section #(name) {
            h2 { (source.title()) }
            p .muted { (source.setting()) "." }
            p {
                a href={ (name) "/index.html" } { "The study's own page" }
                ": all memory measurements, what the papers report, every figure and every layer."
            }
            @if let Some(layers) = layers {
                h3 { "Single layers" }
                ul { @for finding in &layers.findings { li { (finding) } } }
                p {
                    a href={ (name) "/" (PAGE) } { "The page on single layers" }
                    ": the ranking, every layer with every codec, and what each budget of bytes allows."
                }
            }
            (notices::shortened(&source.study.scales()))
            (html_tables::head_to_head(source))
            (html_tables::continued(source))
            @for figure in &figures { (drawing_in(figure, &format!("{name}/"))) }
        }
    })
}
