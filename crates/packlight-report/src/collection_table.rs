//! The plans of several studies in one table.

use maud::{Markup, html};

use crate::figures::Source;
use crate::plan::PlanRow;

/// One study's column.
pub(crate) struct Column {
    pub(crate) name: String,
    cells: Vec<(String, Cell)>,
}

/// How a plan fares against the one that keeps everything; `None` where either is not known.
struct Cell {
    /// Difference of the mean test accuracies.
    accuracy: Option<f64>,
    /// Bytes held at once at most, as a share of the exact plan's.
    held: Option<f64>,
    /// Time of a step, likewise.
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

/// One row for each name of a plan, and in it every study that has such a plan.
pub(crate) fn collection_table(columns: &[Column]) -> Markup {
    let mut plans: Vec<&str> = Vec::new();
    for (name, _) in columns.iter().flat_map(|column| &column.cells) {
        if !plans.contains(&name.as_str()) {
            plans.push(name);
        }
    }
    html! {
        div .wide.dense {
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
            "Against the plan that keeps everything, in the same study: the difference of the mean test \
             accuracies in points, bytes kept at once at most (by the ledger, with what checkpointed parts \
             keep anew and what codecs remember from step to step), and time of a training step. The \
             intervals stand in the studies' own tables below; a difference smaller than them says \
             nothing. Empty where a study has no plan of that name, an en dash where nothing was \
             recorded."
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
        // Two significant digits or so of what hardly keeps anything.
        Some(ratio) if ratio < 0.1 => format!("{ratio:.3}×"),
        Some(ratio) => format!("{ratio:.2}×"),
        None => "–".to_owned(),
    }
}
