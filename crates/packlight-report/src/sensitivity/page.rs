//! The page on single layers: one file that needs nothing else.

use maud::{Markup, PreEscaped, html};
use packlight_figure::Figure;

use super::scores::LISTED;
use super::{Sensitivity, tables};
use crate::document::document;
use crate::page::drawing_in;

/// Tables can be sorted where scripts run.
const SORT: &str = include_str!("sort.js");

/// A sentence, in which what stands between backticks is code.
fn with_code(text: &str) -> Markup {
    let parts = text.split('`').enumerate();
    html! {
        @for (number, part) in parts {
            @if number % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// The page. `with_runs` says that the study's own page is beside it.
pub(crate) fn page(
    study: &Sensitivity,
    figures: &[Figure],
    findings: &[String],
    csv: &[String],
    with_runs: bool,
) -> String {
    let title = format!("Sensitivity: {}", study.title);
    let body = html! {
        header {
            h1 { (title) }
            p .muted { "Study " code { (study.name) } ". " (study.setting()) "." }
            nav {
                a href="#findings" { "Findings" }
                a href="#codecs" { "Codecs" }
                @if !study.contests.is_empty() { a href="#rivals" { "Rivals" } }
                a href="#figures" { "Figures" }
                a href="#ranking" { "Ranking" }
                a href="#data" { "Data" }
                @if with_runs { a href="index.html" { "The study's runs" } }
            }
        }
        main {
            (notices(study))
            section #findings {
                h2 { "Findings" }
                @if findings.is_empty() { p { "The scores bear no finding." } }
                ul { @for finding in findings { li { (with_code(finding)) } } }
            }
            section #codecs {
                h2 { "Codecs" }
                (tables::codecs(study))
                h3 { "Totals by block" }
                (tables::by_block(study))
            }
            @if !study.contests.is_empty() {
                section #rivals {
                    h2 { "Plans beside their rivals" }
                    (tables::contests(&study.contests))
                }
            }
            section #figures {
                h2 { "Figures" }
                @for figure in figures { (drawing_in(figure, "")) }
            }
            section #ranking {
                h2 { "Ranking of layers" }
                (tables::rankings(study))
                (tables::apart(study))
            }
            section #data {
                h2 { "Data" }
                p {
                    "As CSV tables, one fact per row: "
                    @for (i, table) in csv.iter().enumerate() {
                        @if i > 0 { ", " }
                        a href={ "tables/" (table) } { (table) }
                    }
                    ". Each figure links to its own data. Undefined values are empty."
                    @if study.scores.is_cut() {
                        " Of each point of each training, scores of the first " (LISTED) " batches are listed."
                    }
                }
            }
        }
        script { (PreEscaped(SORT)) }
    };
    document(&title, &body)
}

/// What a reader must know before the results.
fn notices(study: &Sensitivity) -> Markup {
    let left_out = study.measured.left_out();
    html! {
        @if study.scores.torn {
            div .notice role="status" {
                strong { "The measurement was interrupted:" }
                " the last line of the log is incomplete and is left out. Measure again, which goes on where it \
                 ended."
            }
        }
        @if !left_out.is_empty() {
            div .notice role="status" {
                strong { "Left out, since the scores cannot be used:" }
                ul {
                    @for one in left_out {
                        li {
                            (one.layer)
                            @if let Some(codec) = &one.codec { ", " (codec) }
                            ": " (one.reason)
                        }
                    }
                }
            }
        }
    }
}
