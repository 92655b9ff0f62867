//! The layers of every plan that compresses.

use std::collections::HashMap;

use maud::{Markup, html};
use packlight_record::{KeptKind, Record};

use crate::figures::Source;
use crate::format::{bytes, list, percent, thousandths};
use crate::plan::{LayerRow, PlanRow};
use crate::study::Study;

/// The most plans in one table, so that a screen and a sheet of paper hold all of its columns.
const TOGETHER: usize = 2;
/// More tables than this are folded away.
const OPEN: usize = 3;

/// A plan with what training kept of each layer's input, by the ledger.
struct Column<'a> {
    plan: &'a PlanRow,
    trained: HashMap<String, f64>,
}

impl Column<'_> {
    fn row(&self, layer: &str) -> Option<&LayerRow> {
        self.plan.layers.iter().find(|row| row.layer == layer)
    }

    /// What training kept of the input of `layer`, if it is not what the probed steps kept: by more
    /// than a fiftieth, as adaptive codecs change their minds.
    fn trained(&self, layer: &LayerRow) -> Option<f64> {
        let trained = *self.trained.get(&layer.layer)?;
        ((trained - layer.kept).abs() > 0.02 * layer.kept).then_some(trained)
    }

    /// The layers that the plan compresses.
    fn compressed(columns: &[Self]) -> impl Iterator<Item = (&Self, &LayerRow)> {
        columns.iter().flat_map(|column| column.plan.compressed().map(move |layer| (column, layer)))
    }
}

/// What the ledger recorded of each layer's input in training steps, mean over steps and seeds.
fn trained(study: &Study, plan: &str) -> HashMap<String, f64> {
    let mut steps: HashMap<String, HashMap<(u64, u64), f64>> = HashMap::new();
    for run in study.of(plan) {
        for record in &run.records {
            if let Record::Kept { step, layer, kind: KeptKind::Input, payload, metadata, .. } =
                record
            {
                let at = (run.manifest.seed, *step);
                let bytes = steps.entry(layer.clone()).or_default().entry(at).or_default();
                *bytes += (payload + metadata) as f64;
            }
        }
    }
    let mean = |bytes: &HashMap<_, f64>| bytes.values().sum::<f64>() / bytes.len() as f64;
    steps.iter().map(|(layer, bytes)| (layer.clone(), mean(bytes))).collect()
}

/// The layers of every plan that compresses, a few plans per table.
pub(crate) fn layers(source: &Source<'_>) -> Markup {
    let compressing = source.plans.iter().filter(|p| p.compresses());
    let columns: Vec<Column<'_>> = compressing
        .map(|plan| Column { plan, trained: trained(source.study, &plan.plan.name) })
        .collect();
    if columns.is_empty() {
        return html! { p { "No gradient of a compressed layer was recorded." } };
    }
    let many = columns.len() > TOGETHER * OPEN;
    html! {
        p .small.muted {
            "In forward order; means over the probed steps and the seeds. Lowest: the lowest cosine \
             at any step of any seed. LI: median over the samples of a convolution or the tokens of a \
             linear layer; where a sample has several tokens, the median over samples is given too. \
             In training: the mean of what the ledger recorded of training steps, where it is not \
             what the probed steps kept. Layers that a plan leaves exact are marked so; an en dash means undefined."
        }
        @for columns in columns.chunks(TOGETHER) {
            @if many {
                details { summary { (names(columns)) } (layer_table(source, columns)) }
            } @else {
                (layer_table(source, columns))
            }
        }
    }
}

fn names(columns: &[Column<'_>]) -> String {
    list(&columns.iter().map(|column| column.plan.plan.name.clone()).collect::<Vec<_>>())
}

/// One row for each probed layer in forward order, a group of columns for each plan.
fn layer_table(source: &Source<'_>, plans: &[Column<'_>]) -> Markup {
    let layers = source.tables.layers.iter();
    let layers = layers.filter(|(name, _)| plans.iter().any(|plan| plan.row(name).is_some()));
    let by_sample = Column::compressed(plans).any(|(_, layer)| layer.sample_indicator.is_finite());
    let differs = Column::compressed(plans).any(|(plan, layer)| plan.trained(layer).is_some());
    let columns = 5 + u8::from(by_sample) + u8::from(differs);
    html! {
        div .wide.dense tabindex="0" role="region" aria-label={ "Layers of " (names(plans)) } {
            table {
                thead {
                    tr {
                        th rowspan="2" { "layer" }
                        th rowspan="2" { "kind" }
                        th rowspan="2" .number { "input" br; "uncompressed" }
                        @for column in plans { th colspan=(columns) .group { (column.plan.plan.name) } }
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
                                (bytes(plans.iter().find_map(|plan| plan.row(name)).map(|l| l.raw)))
                            }
                            @for plan in plans {
                                @match plan.row(name) {
                                    Some(layer) if layer.compressed() => {
                                        td .number.first { (bytes(Some(layer.kept))) }
                                        @if differs { td .number { (plan.trained(layer).map(|trained| bytes(Some(trained))).unwrap_or_default()) } }
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
