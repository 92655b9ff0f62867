//! The page of planned steps.

use maud::{Markup, html};
use packlight_figure::{Figure, significant};

use super::{PlannedLayer, PlannedPlan, PlannedSteps};
use crate::format::{bytes, milliseconds, percent};
use crate::page::drawing_in;

/// The page's content.
pub(super) fn body(steps: &PlannedSteps, figures: &[Figure]) -> Markup {
    html! {
        header {
            h1 { "What a step will hold" }
            p { (steps.model) "; " (steps.setting) }
            nav {
                a href="#summary" { "Summary" }
                a href="#course" { "Course of the step" }
                a href="#layers" { "Layers" }
                a href="#data" { "Data" }
            }
        }
        main {
            section #summary {
                h2 { "Summary" }
                (summary(steps))
                @if let Some(machine) = &steps.machine {
                    p .muted {
                        "Times are for " (machine) ", and estimates: as if every operation did the multiplications \
                        of its formula at the rate of operations, or moved its bytes at that of the memory. Fast \
                        algorithms for convolutions need fewer multiplications. Packing, restoring and a codec's own \
                        gradient are not timed: where it says \"+ codecs\", the step takes longer."
                    }
                }
                p .muted {
                    "Found from shapes alone, without weights or data, as the program counts in a run. Not \
                    counted: what codecs keep from step to step, what codecs and the optimizer allocate while they \
                    work, the data set and the program. Workspace is what convolutions and linear layers allocate while \
                    they run, with the kernels and threads of the machine that made this page; for a card it is left \
                    out."
                }
            }
            section #course {
                h2 { "Course of the step" }
                @for figure in figures { (drawing_in(figure, "")) }
            }
            section #layers {
                h2 { "Layers" }
                @for (number, plan) in steps.plans.iter().enumerate() {
                    details open[number == 0] {
                        summary { (plan.plan) }
                        (layers(plan))
                    }
                }
            }
            section #data {
                h2 { "Data" }
                p {
                    "The layers of all plans as CSV: " a href="tables/layers.csv" { "layers.csv" }
                    ". Each figure links to its own data."
                }
            }
        }
    }
}

fn summary(steps: &PlannedSteps) -> Markup {
    let timed = steps.machine.is_some();
    let in_bf16 = steps.plans.iter().any(|plan| plan.seconds_in_bf16.is_some());
    let first = steps.plans.first();
    let share = |own: f64, of: fn(&PlannedPlan) -> f64| match first {
        Some(first) if of(first) > 0.0 => percent(own / of(first)),
        _ => "–".to_owned(),
    };
    html! {
        div .wide tabindex="0" role="region" aria-label="Summary" {
            table {
                thead {
                    tr {
                        th { "plan" }
                        th .number { "kept" }
                        th .number { "share" }
                        th .number { "peak" }
                        th .number { "share" }
                        th { "peak at" }
                        th .number { "multiplications" }
                        th .number { "moved" }
                        @if timed { th .number { "time, estimated" } }
                        @if in_bf16 { th .number { "in bf16" } }
                        @if steps.budget.is_some() { th { "budget" } }
                    }
                }
                tbody {
                    @for plan in &steps.plans {
                        tr {
                            td { b { (plan.plan) } }
                            td .number {
                                @if !plan.is_exact { "at least " }
                                (bytes(Some(plan.kept)))
                            }
                            td .number { (share(plan.kept, |plan| plan.kept)) }
                            td .number {
                                @if !plan.is_exact { "at least " }
                                (bytes(Some(plan.peak)))
                            }
                            td .number { (share(plan.peak, |plan| plan.peak)) }
                            td { (plan.peak_layer.as_deref().unwrap_or("–")) }
                            td .number { (times(plan.multiplications)) }
                            td .number { (bytes(Some(plan.moved))) }
                            @if timed { (step_time(plan, plan.seconds)) }
                            @if in_bf16 { (step_time(plan, plan.seconds_in_bf16)) }
                            @if let Some(budget) = steps.budget {
                                td {
                                    @if plan.peak > budget { span .verdict.denied { "does not fit" } }
                                    @else if plan.is_exact { span .verdict.confirmed { "fits" } }
                                    @else { span .verdict.partly { "fits without what depends on the data" } }
                                }
                            }
                        }
                    }
                }
            }
        }
        @if let Some(budget) = steps.budget {
            p { "The budget is " (bytes(Some(budget))) "." }
        }
    }
}

/// The estimated time of a step, which lacks what codecs compute.
fn step_time(plan: &PlannedPlan, seconds: Option<f64>) -> Markup {
    let has_codecs = plan.layers.iter().any(|layer| layer.codec != "none");
    html! {
        td .number {
            (time(seconds)) @if seconds.is_some() && has_codecs { br; span .muted { "+ codecs" } }
        }
    }
}

fn layers(plan: &PlannedPlan) -> Markup {
    let timed = plan.seconds.is_some();
    html! {
        div .wide.dense tabindex="0" role="region" aria-label={ "Layers with " (plan.plan) } {
            table {
                thead {
                    tr {
                        th { "layer" }
                        th { "kind" }
                        th { "codec" }
                        th .number { "parameters" }
                        th .number { "gradients" }
                        th .number { "optimizer" }
                        th .number { "kept" }
                        th .number { "kept again" }
                        th .number { "workspace" }
                        th .number { "multiplications" }
                        th .number { "moved" }
                        @if timed { th .number { "time, estimated" } }
                    }
                }
                tbody { @for layer in &plan.layers { (row(layer, timed)) } }
            }
        }
    }
}

fn row(layer: &PlannedLayer, timed: bool) -> Markup {
    let some = |value: f64| bytes(Some(value).filter(|value| *value > 0.0));
    html! {
        tr {
            td { (layer.layer) @if let Some(frozen) = layer.frozen { " (" (frozen) ")" } }
            td { (layer.kind) }
            td { code { (layer.codec) } }
            td .number { (some(layer.parameters)) }
            td .number { (some(layer.gradients)) }
            td .number { (some(layer.optimizer)) }
            td .number {
                @match layer.within {
                    Some([least, most]) => { (bytes(Some(least))) " to " (bytes(Some(most))) }
                    None => { (some(layer.kept)) }
                }
            }
            td .number { (some(layer.kept_again)) }
            td .number { (some(layer.workspace)) }
            td .number { (times(layer.multiplications)) }
            td .number { (some(layer.moved)) }
            @if timed { td .number { (time(layer.seconds)) } }
        }
    }
}

/// A number of multiplications in a decimal unit; an en dash for none.
fn times(count: u64) -> String {
    let units = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "K")];
    let unit = units.into_iter().find(|(size, _)| count as f64 >= *size);
    match (count, unit) {
        (0, _) => "–".to_owned(),
        (_, Some((size, unit))) => format!("{} {unit}", significant(count as f64 / size)),
        (_, None) => count.to_string(),
    }
}

fn time(seconds: Option<f64>) -> String {
    match seconds {
        None => "–".to_owned(),
        Some(seconds) if seconds >= 1.0 => format!("{seconds:.2} s"),
        Some(seconds) => milliseconds(seconds),
    }
}
