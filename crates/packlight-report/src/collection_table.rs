//! The plans of all studies of a collection in one table.

use maud::{Markup, html};

use crate::figures::Source;
use crate::plan::PlanRow;

/// One study's column.
pub(crate) struct Column {
    pub(crate) name: String,
    cells: Vec<(String, Cell)>,
}

/// A plan compared with the exact one; `None` where either value is missing.
struct Cell {
    /// Difference of the mean test accuracies, as a fraction.
    accuracy: Option<f64>,
    /// The most bytes held at once, as a multiple of the exact plan's.
    held: Option<f64>,
    /// Time of a training step, as a multiple of the exact plan's.
    time: Option<f64>,
}

impl Column {
    /// The column of the study called `name`.
    pub(crate) fn new(name: &str, source: &Source<'_>) -> Self {
        let base = source.base();
        let cell = |plan: &PlanRow| Cell {
            accuracy: plan
                .accuracy
                .zip(base.and_then(|b| b.accuracy))
                .map(|(p, b)| p.mean - b.mean),
            held: plan.held_ratio(base),
            time: plan.time_ratio(base),
        };
        let cells = source.plans.iter().map(|p| (p.plan.name.clone(), cell(p))).collect();
        Self { name: name.to_owned(), cells }
    }

    fn cell(&self, plan: &str) -> Option<&Cell> {
        self.cells.iter().find(|(name, _)| name == plan).map(|(_, cell)| cell)
    }
}

/// One row for each plan name, one group of columns for each study.
pub(crate) fn collection_table(columns: &[Column]) -> Markup {
    let mut plans: Vec<&str> = Vec::new();
    for (name, _) in columns.iter().flat_map(|column| &column.cells) {
        if !plans.contains(&name.as_str()) {
            plans.push(name);
        }
    }
    html! {
        div .wide.dense tabindex="0" role="region" aria-label="All plans on all networks" {
            table {
                thead {
                    tr {
                        th rowspan="2" { "plan" }
                        @for column in columns {
                            th colspan="3" .group { a href={ "#" (column.name) } { (column.name) } }
                        }
                    }
                    tr {
                        @for _ in columns {
                            th .number.first { "accuracy" }
                            th .number { "kept" }
                            th .number { "time" }
                        }
                    }
                }
                tbody {
                    @for plan in plans {
                        tr {
                            td { b { (plan) } }
                            @for column in columns {
                                @if let Some(cell) = column.cell(plan) {
                                    td .number.first { (points(cell.accuracy)) }
                                    td .number { (share(cell.held)) }
                                    td .number { (share(cell.time)) }
                                } @else {
                                    td .first colspan="3" {}
                                }
                            }
                        }
                    }
                }
            }
        }
        p .small.muted {
            "Each plan compared with the exact plan of the same study: the difference in mean test \
             accuracy in percentage points, and as multiples the most bytes held at once (by the \
             ledger, with what checkpointed segments keep again and the codecs' state) and the time of \
             a training step. The studies' own tables below have the intervals; a difference smaller \
             than its interval means nothing. A cell is empty where the study has no plan of that \
             name; an en dash means not recorded."
        }
    }
}

fn points(difference: Option<f64>) -> String {
    match difference.filter(|d| d.is_finite()) {
        Some(difference) => format!("{:+.1}", 100.0 * difference).replace('-', "−"),
        None => "–".to_owned(),
    }
}

fn share(ratio: Option<f64>) -> String {
    match ratio.filter(|r| r.is_finite()) {
        // A third decimal where two would leave hardly a digit.
        Some(ratio) if ratio < 0.1 => format!("{ratio:.3}×"),
        Some(ratio) => format!("{ratio:.2}×"),
        None => "–".to_owned(),
    }
}
