//! The plans of all studies of a collection in one table.

use maud::{Markup, html};

use crate::answers::{Answer, answers};
use crate::comparison::Comparison;
use crate::figures::Source;
use crate::format::multiple;
use crate::html_tables;
use crate::plan::PlanRow;
use crate::rivals::verdict;

/// One study's column.
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) answers: Vec<Answer>,
    /// Whether the study's methods work, beside their rivals.
    pub(crate) verdict: Option<String>,
    cells: Vec<Cell>,
}

/// A plan compared with the exact one; `None` where either value is missing.
struct Cell {
    plan: String,
    /// What its training starts from and for how long it goes on, where that is not the study's.
    mark: Option<String>,
    continued: bool,
    comparison: Option<Comparison>,
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
            plan: plan.plan.name.clone(),
            mark: plan.training.mark(plan.planned_epochs),
            continued: plan.training.continued(),
            comparison: plan.comparison.clone(),
            held: plan.held_ratio(base),
            time: plan.time.and_then(|time| time.whole),
        };
        let cells = source.plans.iter().map(cell).collect();
        Self { name: name.to_owned(), answers: answers(source), verdict: verdict(source), cells }
    }

    fn cell(&self, plan: &str, continued: bool) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.plan == plan && cell.continued == continued)
    }
}

/// The table of the plans that start as their studies do, and that of those which start from trained
/// weights, if there are any.
pub(crate) fn collection_tables(columns: &[Column]) -> Markup {
    html! {
        (table(columns, false))
        (explained())
        @if columns.iter().flat_map(|column| &column.cells).any(|cell| cell.continued) {
            h3 { "Started from trained weights" }
            p { "Accuracy compared with the plan whose weights they start from." }
            (table(columns, true))
        }
    }
}

/// One row for each plan name, one group of columns for each study.
fn table(columns: &[Column], continued: bool) -> Markup {
    let mut plans: Vec<&str> = Vec::new();
    let cells = columns.iter().flat_map(|column| &column.cells);
    for cell in cells.filter(|cell| cell.continued == continued) {
        if !plans.contains(&cell.plan.as_str()) {
            plans.push(&cell.plan);
        }
    }
    let label = if continued { "Plans that start from trained weights" } else { "All plans" };
    html! {
        div .wide.dense tabindex="0" role="region" aria-label={ (label) " on all networks" } {
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
                                @if let Some(cell) = column.cell(plan, continued) {
                                    (filled(cell))
                                } @else {
                                    td .first colspan="3" {}
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn filled(cell: &Cell) -> Markup {
    html! {
        td .number.first {
            @match &cell.comparison {
                Some(comparison) => {
                    span .(html_tables::class(comparison)) { (comparison.interval()) }
                    " " (html_tables::sign(comparison))
                }
                None => "–",
            }
            @if let Some(mark) = &cell.mark { br; b { (mark) } }
        }
        td .number { (multiple(cell.held)) }
        td .number { (multiple(cell.time)) }
    }
}

fn explained() -> Markup {
    html! {
        p .small.muted {
            "Each plan compared with the exact plan of the same study: the paired difference in test \
             accuracy in percentage points with its 95 % interval, and as multiples the most bytes held \
             at once (by the ledger, with what checkpointed segments keep again and the codecs' state) \
             and the time of a training step, with its share of what the run spends on measuring \
             sensitivities. ≈: equivalent; ▼: a loss; ▲: a gain, by the tests that \
             stand below each study's own table, corrected by Holm over the plans of that study. Without \
             such a sign nothing is shown, and without an interval there are fewer than three common \
             seeds. Another number of epochs stands below the difference; such a plan is compared with an \
             exact plan of as many epochs where the study has one. A cell is empty where the study has no \
             plan of that name; an en dash means not recorded."
        }
    }
}
