//! The bytes of each plan by ledger, allocator and process.

use maud::{Markup, html};

use super::name;
use crate::figures::Source;
use crate::format::{bytes, change};
use crate::plan::PlanRow;

/// Bytes of each plan by the ledger, by the counting allocator and by the process.
pub(crate) fn memory_accounts(source: &Source<'_>) -> Markup {
    let base = source.base();
    html! {
        div .wide tabindex="0" role="region" aria-label="Memory of each plan" {
            table {
                thead {
                    tr {
                        th rowspan="2" { "plan" }
                        th colspan="3" .group { "kept for one backward pass" }
                        th colspan="3" .group { "peak" }
                    }
                    tr {
                        th .number.first { "ledger" }
                        th .number { "counted" }
                        th .number { "gap" }
                        th .number.first { "ledger" }
                        th .number { "allocator" }
                        th .number { "resident" }
                    }
                }
                tbody { @for plan in source.plans { (memory_row(plan, base)) } }
            }
        }
        p .small.muted {
            b { "What is counted. " }
            "Kept, ledger: the inputs, masks and statistics that layers keep between the forward and \
             the backward pass of one step, predicted from shapes and codecs; without parameters, \
             gradients, optimizer state and workspace. Kept, counted: what the counting allocator got \
             back when the same tensors were freed. Peak, ledger: the most bytes kept at once. Peak, \
             allocator: the most live bytes during a step beyond those live before it, including \
             gradients, temporary tensors and workspace. Both peaks have the state that codecs carry from step \
             to step, which is live before a step. On a CUDA device, the pool of its memory \
             counts in the allocator's place, without what cuBLAS takes for itself. Peak, resident: the largest resident set of \
             the process during one step that is not probed, after the allocator has returned what it \
             held in reserve, mean over the runs; it includes the program, the data and the parameters, \
             and varies by some MiB from run to run."
        }
    }
}

/// Kept and peak bytes of one plan.
fn memory_row(plan: &PlanRow, base: Option<&PlanRow>) -> Markup {
    let base = base.filter(|b| b.plan.name != plan.plan.name);
    let with_change = |of: fn(&PlanRow) -> Option<f64>| {
        let change = of(plan).zip(base.and_then(of)).map(|(v, b)| change(v, b, "less", "more"));
        html! { (bytes(of(plan))) @if let Some(change) = change { br; span .muted { (change) } } }
    };
    html! {
        tr {
            (name(plan))
            td .number.first { (with_change(|p| p.kept)) }
            td .number { (with_change(|p| p.counted)) }
            td .number { (gap(plan.kept, plan.counted).unwrap_or_else(|| "–".to_string())) }
            td .number.first { (with_change(|p| p.held)) }
            td .number { (with_change(|p| p.peak_allocated)) }
            td .number { (bytes(plan.resident)) }
        }
    }
}

/// By how many per cent the counted bytes differ from the predicted ones.
fn gap(predicted: Option<f64>, counted: Option<f64>) -> Option<String> {
    let (predicted, counted) = predicted.zip(counted)?;
    (predicted > 0.0)
        .then(|| format!("{:+.2} %", (counted / predicted - 1.0) * 100.0).replace('-', "−"))
}
