//! The layers of every plan that compresses.

use maud::{Markup, html};

use crate::figures::Source;
use crate::format::{bytes, list, percent, thousandths};
use crate::plan::PlanRow;

/// The layers of every plan that compresses, a few plans per table.
pub(crate) fn layers(source: &Source<'_>) -> Markup {
    let plans: Vec<&PlanRow> = source.plans.iter().filter(|p| p.compresses()).collect();
    if plans.is_empty() {
        return html! { p { "No gradient of a compressed layer was recorded." } };
    }
    let groups = source.groups(&plans);
    html! {
        p .small.muted {
            "In forward order; means over the probed steps and the seeds. Lowest: the lowest cosine \
             at any step of any seed. LI: median over the samples of a convolution or the tokens of a \
             linear layer; where a sample has several tokens, the median over samples is given too. \
             Layers that a plan leaves exact are marked so; an en dash means undefined."
        }
        @if let [plans] = &groups[..] {
            (layer_table(source, plans))
        } @else {
            @for plans in &groups {
                @let names: Vec<String> = plans.iter().map(|p| p.plan.name.clone()).collect();
                details { summary { (list(&names)) } (layer_table(source, plans)) }
            }
        }
    }
}

/// One row for each probed layer in forward order, a group of columns for each plan.
fn layer_table(source: &Source<'_>, plans: &[&PlanRow]) -> Markup {
    let names = source
        .tables
        .layers
        .iter()
        .filter(|(name, _)| plans.iter().any(|p| p.layers.iter().any(|l| l.layer == *name)));
    let by_sample =
        plans.iter().flat_map(|p| p.compressed()).any(|l| l.sample_indicator.is_finite());
    let columns = if by_sample { "6" } else { "5" };
    html! {
        div .wide.dense {
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
                            th .number { "cosine" }
                            th .number { "lowest" }
                            th .number { "LI" }
                            @if by_sample { th .number { "of samples" } }
                            th .number { "LI ≤ 0" }
                        }
                    }
                }
                tbody {
                    @for (name, kind) in names {
                        tr {
                            td { code { (name) } }
                            td { (kind.name()) }
                            td .number {
                                (bytes(plans.iter().find_map(|p| row(p, name)).map(|l| l.raw)))
                            }
                            @for plan in plans {
                                @match row(plan, name) {
                                    Some(layer) if layer.compressed() => {
                                        td .number.first { (bytes(Some(layer.kept))) }
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

fn row<'a>(plan: &'a PlanRow, layer: &str) -> Option<&'a crate::plan::LayerRow> {
    plan.layers.iter().find(|l| l.layer == layer)
}
