//! A study's page: one file that needs nothing else.

use maud::{Markup, PreEscaped, html};
use packlight_figure::Figure;

use crate::codec_name::pools;
use crate::document::document;
use crate::figures::{FigureGroup, Source};
use crate::finding::Finding;
use crate::study::{State, Study};
use crate::{format, html_tables, published};

/// The page of a study.
pub(crate) fn page(source: &Source<'_>, groups: &[FigureGroup], tables: &[String]) -> String {
    let title = source.title();
    let name = &source.study.name;
    // The findings are about pooling; they are shown if there is a pooling plan, or no plan yet.
    let pooled = source.plans.is_empty() || source.plans.iter().any(|p| pools(&p.plan.spec));
    let published = published::beside(source.plans);
    let body = html! {
        header {
            h1 { (title) }
            p .muted { "Study " code { (name) } ". " (source.setting()) "." }
            nav {
                @if pooled { a href="#summary" { "Summary" } }
                a href="#plans" { "Plans head to head" }
                @if !published.is_empty() { a href="#published" { "What the papers report" } }
                a href="#figures" { "Figures" }
                a href="#layers" { "Layers" }
                a href="#provenance" { "Provenance" }
                a href="#data" { "Data" }
            }
        }
        main {
            (notice(source.study))
            (left_out(source.study))
            @if pooled { (summary(source.findings)) }
            section #plans {
                h2 { "Plans head to head" }
                (html_tables::head_to_head(source))
                h3 { "Memory by ledger, allocator and process" }
                (html_tables::memory_accounts(source))
            }
            @if !published.is_empty() {
                section #published {
                    h2 { "What the papers report" }
                    (published::section(&published, source.base()))
                }
            }
            section #figures {
                h2 { "Figures" }
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
                }
            }
        }
    };
    document(title, &body)
}

/// Runs that have not finished, at the top of the page where nobody overlooks them.
fn notice(study: &Study) -> Markup {
    let odd: Vec<_> = study.runs.iter().filter(|r| !r.finished()).collect();
    let total = study.runs.len() + study.unreadable.len() + study.missing.len();
    let finished = study.runs.len() - odd.len();
    if finished == total && study.no_grid.is_none() {
        return html! {};
    }
    html! {
        div .notice role="status" {
            strong {
                "This report " @if finished == total { "may be" } @else { "is" } " incomplete: "
                (finished) " of " (total) " runs have finished."
            }
            " Figures show what has been recorded; accuracies, trade-offs and verdicts use finished \
             runs only."
            ul {
                @for run in odd {
                    li {
                        (run.manifest.plan) ", seed " (run.manifest.seed) ": "
                        @match &run.state {
                            State::Finished => {}
                            State::Unfinished => {
                                "unfinished, " (run.epochs()) " of "
                                (format::count(run.manifest.epochs, "epoch"))
                                " recorded; run the study again to resume it"
                            }
                            State::Failed(reason) => {
                                "failed after " (format::count(run.epochs(), "epoch")) ": " (reason)
                            }
                            State::Damaged(reason) => { "its records are left out: " (reason) }
                        }
                    }
                }
                @for (plan, seed) in &study.missing { li { (plan) ", seed " (seed) ": not started" } }
                @if let Some(reason) = &study.no_grid {
                    li { (reason) "; the runs still to be started are not known" }
                }
                @for (folder, reason) in &study.unreadable {
                    li { "folder " code { (folder) } ": left out: " (reason) }
                }
            }
        }
    }
}

/// Folders that hold no run of this study, and why not.
fn left_out(study: &Study) -> Markup {
    html! {
        @if !study.left_out.is_empty() {
            div .notice role="status" {
                strong { "Folders that are left out, as they hold no run of this study:" }
                ul {
                    @for folder in &study.left_out {
                        li { code { (folder.folder) } ": " (folder.reason) }
                    }
                }
            }
        }
    }
}

fn summary(findings: &[Finding]) -> Markup {
    html! {
        section #summary {
            h2 { "Summary" }
            p {
                "Three findings on pooled activations by Barley and Fröning (arXiv 2409.11902), \
                 checked against this study:"
            }
            @for finding in findings {
                div .finding {
                    h3 {
                        span .verdict.(finding.verdict.word()) { (finding.verdict.word()) }
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
