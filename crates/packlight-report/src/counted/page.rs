//! The page of published tables.

use maud::{Markup, html};
use packlight_figure::Figure;

use super::{Counted, CountedCell, CountedSummary, CountedTable, CountedTables, Projection};
use crate::format;
use crate::page::drawing_in;

/// The page's content.
pub(super) fn body(
    tables: &CountedTables,
    figure: Option<&Figure>,
    summary: &CountedSummary,
) -> Markup {
    let projection = tables.projection.as_ref().zip(figure);
    html! {
        header {
            h1 { (tables.title) }
            nav {
                a href="#summary" { "Summary" }
                @for table in &tables.tables { a href={ "#" (table.id) } { (table.title) } }
                @if projection.is_some() { a href="#projected" { "One convolution" } }
                a href="#rules" { "Rules" }
                a href="#data" { "Data" }
            }
        }
        main {
            section #summary {
                h2 { "Summary" }
                p {
                    "The tables below have " (format::count(summary.rows as u64, "row")) " for "
                    (format::count(summary.cells as u64, "published cell")) ". In " (summary.counted)
                    " of them a number was counted: " b { (summary.agree) " agree to the last printed digit" }
                    "; with these, " (within(tables, 0.05)) " are within 5 % of what was published."
                }
                p .muted {
                    "Each number was counted when this page was made, from shapes alone, as "
                    code { "packlight plan" }
                    " counts, and nothing is fitted to what was published. Only the ranks of small runs, in \
                     notes, come from training, of small networks for this page. Where a number differs, the \
                     last column says what is known of the reason."
                }
            }
            @for table in &tables.tables { (section(table)) }
            @if let Some((projection, figure)) = projection { (projected(projection, figure)) }
            section #rules {
                h2 { "Rules" }
                div .wide tabindex="0" role="region" aria-label="Rules" {
                    table {
                        thead { tr { th { "rule" } th { "what it counts" } } }
                        tbody {
                            @for (name, words) in &tables.rules {
                                tr { td { b { (name) } } td .text { (words) } }
                            }
                        }
                    }
                }
            }
            section #data {
                h2 { "Data" }
                p {
                    "The cells as CSV, with the command of each: "
                    a href="tables/counted.csv" { "counted.csv" } "."
                }
            }
        }
    }
}

/// How many counted numbers agree, or differ by at most such a fraction of the published one.
fn within(tables: &CountedTables, most: f64) -> usize {
    let near = |cell: &&CountedCell| {
        cell.agrees() == Some(true) || cell.relative().is_some_and(|by| by.abs() <= most)
    };
    tables.tables.iter().flat_map(|table| &table.cells).filter(near).count()
}

fn projected(projection: &Projection, figure: &Figure) -> Markup {
    html! {
        section #projected {
            h2 { "One convolution as its maps grow" }
            p { (projection.about) }
            (drawing_in(figure, ""))
        }
    }
}

fn section(table: &CountedTable) -> Markup {
    html! {
        section #(table.id) {
            h2 { (table.title) }
            p .muted { (table.source) }
            p { (table.about) }
            div .wide tabindex="0" role="region" aria-label=(table.title) {
                table {
                    thead {
                        tr {
                            th { "cell" }
                            th .number { "published" }
                            th .number { "counted" }
                            th .number { "difference" }
                            th { "rule" }
                            th { "command and note" }
                        }
                    }
                    tbody { @for cell in &table.cells { (row(cell)) } }
                }
            }
        }
    }
}

fn row(cell: &CountedCell) -> Markup {
    html! {
        tr {
            td { (cell.cell) }
            td .number { (cell.published) " " (cell.unit) }
            td .number {
                @match cell.rounded() {
                    Some(number) => { (number) " " (cell.unit) }
                    None => { "–" }
                }
            }
            td .number {
                @match (cell.agrees(), cell.difference()) {
                    (Some(true), _) => { span .verdict.confirmed { "agrees" } }
                    (_, Some(difference)) => { (signed(difference, &cell.unit)) }
                    _ => { "–" }
                }
            }
            td { (cell.rule) }
            td .text {
                @if let Counted::Implied(what) = &cell.counted { (what) br; }
                @if !cell.command.is_empty() { code { (cell.command) } }
                @if !cell.note.is_empty() { p .small { (cell.note) } }
            }
        }
    }
}

/// A difference with its sign, in points for a share.
fn signed(difference: f64, unit: &str) -> String {
    let unit = if unit == "%" { "points" } else { "%" };
    format!("{difference:+.1} {unit}").replace('-', "−")
}
