//! A study's page: one file that needs nothing else.

use maud::{Markup, PreEscaped, html};
use packlight_figure::Figure;

use crate::document::document;
use crate::figures::{FigureGroup, Source};
use crate::finding::Finding;
use crate::probed::Drawn;
use crate::sensitivity::PAGE;
use crate::{answers, format, html_tables, notices, published, rivals};

/// The page of a study. `with_sensitivity` says that a page on single layers is beside it.
pub(crate) fn page(
    source: &Source<'_>,
    groups: &[FigureGroup],
    tables: &[String],
    with_sensitivity: bool,
) -> String {
    let title = source.title();
    let name = &source.study.name;
    let published = published::beside(source.plans);
    let body = html! {
        header {
            h1 { (title) }
            p .muted { "Study " code { (name) } ". " (source.setting()) "." }
            nav {
                a href="#summary" { "Summary" }
                a href="#plans" { "Plans head to head" }
                @if !published.is_empty() { a href="#published" { "What the papers report" } }
                a href="#figures" { "Figures" }
                a href="#layers" { "Layers" }
                a href="#provenance" { "Provenance" }
                a href="#data" { "Data" }
                @if with_sensitivity { a href=(PAGE) { "Sensitivity of single layers" } }
            }
        }
        main {
            (notices::notices(source))
            (summary(source))
            section #plans {
                h2 { "Plans head to head" }
                (html_tables::head_to_head(source))
                (html_tables::continued(source))
                h3 { "Memory by ledger, allocator and process" }
                (html_tables::memory_accounts(source))
                @if let Some(moves) = html_tables::moves(source) { (moves) }
            }
            @if !published.is_empty() {
                section #published {
                    h2 { "What the papers report" }
                    (published::section(&published, source.base()))
                }
            }
            section #figures {
                h2 { "Figures" }
                (drawn(source))
                (exact_plans(source))
                @for group in groups {
                    @if let Some(title) = &group.folded {
                        details {
                            summary { (title) }
                            @for figure in &group.figures { (drawing(figure)) }
                        }
                    } @else {
                        @for figure in &group.figures { (drawing(figure)) }
                    }
                }
                @if groups.iter().all(|group| group.figures.is_empty()) {
                    p { "No run has recorded anything to draw yet." }
                }
            }
            section #layers {
                h2 { "Layer by layer" }
                (html_tables::layers(source))
            }
            section #provenance {
                h2 { "Provenance" }
                (html_tables::provenance(source.study))
            }
            section #data {
                h2 { "Data" }
                p {
                    "The records as CSV tables, one fact per row: "
                    @for (i, table) in tables.iter().enumerate() {
                        @if i > 0 { ", " }
                        a href={ "tables/" (table) } { (table) }
                    }
                    ". Each figure links to its own data. Undefined values are empty."
                    @if let Some(Drawn { steps, of }) = source.study.drawn() {
                        " The tables of gradients have " (steps) " of the " (of) " probed steps of a run; all \
                         of them are in its " code { "records.jsonl" } "."
                    }
                }
            }
        }
    };
    document(title, &body)
}

/// What the study shows, and what it shows about the papers' claims.
fn summary(source: &Source<'_>) -> Markup {
    let study = [(source.study.name.as_str(), answers::answers(source))];
    html! {
        section #summary {
            h2 { "Summary" }
            @if let Some(verdict) = rivals::verdict(source) { p { (verdict) } }
            (answers::table(&study))
            (claims(source.findings))
        }
    }
}

fn claims(findings: &[Finding]) -> Markup {
    html! {
        @if !findings.is_empty() {
            p {
                "Findings on pooled activations by Barley and Fröning (arXiv 2409.11902), checked \
                 against this study:"
            }
        }
        @for finding in findings {
            div .finding {
                h3 {
                    span .verdict.(finding.verdict.class()) { (finding.verdict.word()) }
                    (finding.headline)
                }
                p .muted { (finding.claim) }
                @if !finding.details.is_empty() {
                    ul { @for detail in &finding.details { li { (detail) } } }
                }
            }
        }
    }
}

/// That not all probed steps are drawn; empty if all are.
fn drawn(source: &Source<'_>) -> Markup {
    html! {
        @if let Some(Drawn { steps, of }) = source.study.drawn() {
            p .muted {
                "Of the " (of) " probed steps of a run, the gradients of " (steps) ", spread evenly, are drawn. \
                 Averages, on this page and in the titles of figures, are over all of them, and the errors of \
                 whole gradients over training are drawn at all of them."
            }
        }
    }
}

/// Plans that have no fidelity figure, and why.
fn exact_plans(source: &Source<'_>) -> Markup {
    let exact: Vec<String> = source
        .plans
        .iter()
        .filter(|p| !p.layers.is_empty() && !p.alters())
        .map(|p| p.plan.name.clone())
        .collect();
    html! {
        @if !exact.is_empty() {
            p .muted {
                "Plans without fidelity figures: " b { (format::list(&exact)) }
                ". All their recorded gradients are exact, so cosine and learning indicator are 1."
            }
        }
    }
}

/// A figure and how to read it, on a page in the study's own folder.
fn drawing(figure: &Figure) -> Markup {
    drawing_in(figure, "")
}

/// A figure and how to read it. `folder` is the path from the page to the study's folder: empty, or
/// ending with `/`.
pub(crate) fn drawing_in(figure: &Figure, folder: &str) -> Markup {
    let id = figure.id.as_str();
    // HTML needs no namespace; ids must be unique within the page.
    let mut svg = figure.svg.replacen(" xmlns=\"http://www.w3.org/2000/svg\"", "", 1);
    if !folder.is_empty() {
        for part in ["title", "desc"] {
            svg = svg.replace(&format!("{id}-{part}"), &format!("{folder}{id}-{part}"));
        }
    }
    let file = |kind: &str| format!("{folder}figures/{id}.{kind}");
    html! {
        figure id={ (folder) (id) } {
            div .drawing tabindex="0" role="region" aria-label=(figure.title) { (PreEscaped(svg)) }
            figcaption {
                b { "How to read this. " } (figure.how_to_read) " "
                a href=(file("svg")) { "SVG" } " · " a href=(file("csv")) { "CSV" }
            }
        }
    }
}
