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
use crate::report::{Report, write_figure, write_sensitivity};
use crate::sensitivity::PAGE;
use crate::{
    Error, Result, SensitivitySummary, Summary, answers, format, html_tables, notices, stale,
};

/// The files of a collection's report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CollectionSummary {
    /// The page that compares the studies.
    #[serde(serialize_with = "format::path")]
    pub page: PathBuf,
    /// The report of each study that has runs or scores of single layers.
    pub studies: Vec<Summary>,
    /// Those of them that have scores, but no runs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub only_layers: Vec<String>,
    /// The studies that have neither.
    pub missing: Vec<String>,
}

/// Writes the report of each study of the collection in `folder` into its own folder, and the page that
/// compares them into `folder`.
///
/// # Errors
/// Returns an error if no study has runs or scores of single layers, a folder cannot be read or a file
/// cannot be written.
pub fn write_collection(collection: &Collection, folder: &Path) -> Result<CollectionSummary> {
    let (mut studies, mut missing, mut only_layers) = (Vec::new(), Vec::new(), Vec::new());
    let (mut columns, mut networks, mut sections) = (Vec::new(), Vec::new(), Vec::new());
    for name in &collection.studies {
        let report = match Report::read(&folder.join(name)) {
            Ok(report) => report,
            Err(no_runs @ Error::NoRuns { .. }) => {
                match write_sensitivity(&folder.join(name), no_runs) {
                    Ok(summary) => {
                        sections.extend(summary.sensitivity.as_ref().map(|s| alone(name, s)));
                        studies.push(summary);
                        only_layers.push(name.clone());
                    }
                    Err(Error::NoRuns { .. } | Error::NoScores { .. }) => {
                        missing.push(name.clone())
                    }
                    Err(error) => return Err(error),
                }
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
        &body(
            &collection.title,
            &columns,
            figure.as_ref(),
            &sections,
            &studies,
            (&only_layers, &missing),
        ),
    );
    stale::replace(&page, &html)?;
    Ok(CollectionSummary { page, studies, only_layers, missing })
}

/// The page's content.
fn body(
    title: &str,
    columns: &[Column],
    figure: Option<&Figure>,
    sections: &[Markup],
    studies: &[Summary],
    (only_layers, missing): (&[String], &[String]),
) -> Markup {
    let left: usize = studies.iter().map(|s| s.unfinished + s.failed + s.missing).sum();
    let finished: usize = studies.iter().map(|s| s.finished).sum();
    let answered: Vec<_> =
        columns.iter().map(|column| (column.name.as_str(), column.answers.clone())).collect();
    html! {
        header {
            h1 { (title) }
            nav {
                @if !columns.is_empty() {
                    a href="#summary" { "Summary" }
                    a href="#across" { "All together" }
                }
                @for column in columns { a href={ "#" (column.name) } { (column.name) } }
                @for name in only_layers { a href={ "#" (name) } { (name) } }
            }
        }
        main {
            @if left > 0 || !missing.is_empty() || !only_layers.is_empty() {
                div .notice role="status" {
                    strong {
                        "This report is incomplete: " (finished) " of " (finished + left)
                        " runs have finished"
                        @for name in only_layers {
                            ", " (name) " has no runs yet, but its single layers are measured"
                        }
                        @for name in missing { ", and " (name) " has not been started" }
                        "."
                    }
                    " The studies' own pages list the others."
                }
            }
            @if !columns.is_empty() {
                section #summary {
                    h2 { "Summary" }
                    @for column in columns {
                        @if let Some(verdict) = &column.verdict {
                            p { a href={ "#" (column.name) } { (column.name) } ". " (verdict) }
                        }
                    }
                    (answers::table(&answered))
                }
                section #across {
                    h2 { "All together" }
                    @if let Some(figure) = figure { (drawing_in(figure, "")) }
                    (collection_tables(columns))
                }
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
            @if let Some(layers) = layers { (single_layers(name, layers)) }
            (notices::shortened(&source.study.scales()))
            (html_tables::head_to_head(source))
            (html_tables::continued(source))
            @for figure in &figures { (drawing_in(figure, &format!("{name}/"))) }
        }
    })
}

/// A study without runs: what was found of its single layers.
fn alone(name: &str, layers: &SensitivitySummary) -> Markup {
    html! {
        section #(name) {
            h2 { (name) }
            (single_layers(name, layers))
        }
    }
}

fn single_layers(name: &str, layers: &SensitivitySummary) -> Markup {
    html! {
        h3 { "Single layers" }
        ul { @for finding in &layers.findings { li { (finding) } } }
        p {
            a href={ (name) "/" (PAGE) } { "The page on single layers" }
            ": the ranking, every layer with every codec, and what each budget of bytes allows."
        }
    }
}
