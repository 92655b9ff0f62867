//! The layers of every plan that compresses.

use maud::{Markup, html};

use crate::figures::Source;
use crate::format::{bytes, list, percent, thousandths};
use crate::plan::{LayerRow, PlanRow};

/// The most plans in one table, so that a screen and a sheet of paper hold all of its columns.
const TOGETHER: usize = 2;
/// More tables than this are folded away.
const OPEN: usize = 3;

/// What training kept of a layer's input, if it is not what the probed steps kept: by more than a
/// fiftieth, as adaptive codecs change their minds.
fn trained(layer: &LayerRow) -> Option<f64> {
    ((layer.trained - layer.kept).abs() > 0.02 * layer.kept).then_some(layer.trained)
}

/// The layers of every plan that compresses, a few plans per table.
pub(crate) fn layers(source: &Source<'_>) -> Markup {
    let plans: Vec<&PlanRow> = source.plans.iter().filter(|p| p.compresses()).collect();
    if plans.is_empty() {
        return html! { p { "No gradient of a compressed layer was recorded." } };
    }
    let many = plans.len() > TOGETHER * OPEN;
    html! {
        p .small.muted {
            "In forward order; means over the probed steps and the seeds. Lowest: the lowest cosine \
             at any step of any seed. LI: median over the samples of a convolution or the tokens of a \
             linear layer; where a sample has several tokens, the median over samples is given too. \
             In training: the mean of what the ledger recorded of training steps, where it is not \
             what the probed steps kept. Layers that a plan leaves exact are marked so; an en dash means undefined."
        }
        @for plans in plans.chunks(TOGETHER) {
            @if many {
                details { summary { (names(plans)) } (layer_table(source, plans)) }
            } @else {
                (layer_table(source, plans))
            }
        }
    }
}

fn names(plans: &[&PlanRow]) -> String {
    list(&plans.iter().map(|plan| plan.plan.name.clone()).collect::<Vec<_>>())
}

/// One row for each probed layer in forward order, a group of columns for each plan.
fn layer_table(source: &Source<'_>, plans: &[&PlanRow]) -> Markup {
    let layers = source.tables.layers.iter();
    let layers = layers.filter(|(name, _)| plans.iter().any(|plan| row(plan, name).is_some()));
    let compressed = || plans.iter().flat_map(|plan| plan.compressed());
    let by_sample = compressed().any(|layer| layer.sample_indicator.is_finite());
    let differs = compressed().any(|layer| trained(layer).is_some());
    let columns = 5 + u8::from(by_sample) + u8::from(differs);
    html! {
        div .wide.dense tabindex="0" role="region" aria-label={ "Layers of " (names(plans)) } {
            table {
                thead {
                    tr {
                        th rowspan="2" { "layer" }
                        th rowspan="2" { "kind" }
                        th rowspan="2" .number { "input" br; "uncompressed" }
                        @for plan in plans { th colspan=(columns) .group { (plan.plan.name) } }
                    }
                    tr {
                        @for _ in plans {
                            th .number.first { "kept" }
                            @if differs { th .number { "in training" } }
                            th .number { "cosine" }
                            th .number { "lowest" }
                            th .number { "LI" }
                            @if by_sample { th .number { "of samples" } }
                            th .number { "LI ≤ 0" }
                        }
                    }
                }
                tbody {
                    @for (name, kind) in layers {
                        tr {
                            td { code { (name) } }
                            td { (kind.name()) }
                            td .number {
                                (bytes(plans.iter().find_map(|plan| row(plan, name)).map(|l| l.raw)))
                            }
                            @for plan in plans {
                                @match row(plan, name) {
                                    Some(layer) if layer.compressed() => {
                                        td .number.first { (bytes(Some(layer.kept))) }
                                        @if differs { td .number { (trained(layer).map(|trained| bytes(Some(trained))).unwrap_or_default()) } }
                                        td .number { (thousandths(layer.cosine)) }
                                        td .number { (thousandths(layer.lowest_cosine)) }
                                        td .number { (thousandths(layer.indicator)) }
                                        @if by_sample {
                                            td .number { (thousandths(layer.sample_indicator)) }
                                        }
                                        td .number { (percent(layer.nonpositive)) }
                                    }
                                    Some(_) => { td .first colspan=(columns) { span .muted { "exact" } } }
                                    None => { td .first colspan=(columns) { "–" } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn row<'a>(plan: &'a PlanRow, layer: &str) -> Option<&'a LayerRow> {
    plan.layers.iter().find(|l| l.layer == layer)
}
