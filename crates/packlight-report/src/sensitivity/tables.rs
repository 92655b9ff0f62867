//! The tables of the page, as HTML. Those of class `sortable` can be sorted where scripts run.

use maud::{Markup, html};
use packlight_allocation::{Estimate, Interval};
use packlight_figure::significant;

use super::findings::concentration;
use super::ranking::{RelativeError, Row, blocks, of_allocation, of_block, ranked};
use super::{Contest, Sensitivity};
use crate::format::{bytes, cosine, count, list, multiple, percent};

/// More codecs than this have their rankings folded away.
const OPEN: usize = 2;
/// What intervals say.
const INTERVALS: &str = "intervals are Student's t over the seeds, since batches of one training share its weights, or \
    with a single seed over the batches of each point; those of errors are of their logarithms.";

/// A row for each codec: bytes and error at all layers, and where the error comes from.
pub(crate) fn codecs(study: &Sensitivity) -> Markup {
    html! {
        div .wide tabindex="0" role="region" aria-label="Codecs" {
            table .sortable {
                thead {
                    tr {
                        th { "codec" }
                        th .number { "layers" }
                        th .number { "bytes kept" }
                        th .number { "of exact" }
                        th .number { "error" }
                        th .number { "95 % interval" }
                        th .number { "n" }
                        th { "the most sensitive layers, and their share of the squared error" }
                    }
                }
                tbody {
                    @for (codec, plan) in study.uniform() {
                        @let error = of_allocation(&study.measured, &plan);
                        tr {
                            td { b { (codec) } }
                            td .number { (plan.codecs.iter().filter(|at| *at == codec).count()) }
                            td .number data-value=(plan.bytes) { (bytes(Some(plan.bytes as f64))) }
                            td .number { (multiple(Some(study.share(plan.bytes)))) }
                            td .number data-value=(error.value) { (significant(error.value)) }
                            (interval(&error))
                            td .number { (error.n) }
                            td .text {
                                @match concentration(study, codec) {
                                    Some((share, first)) => {
                                        (list(&first.iter().map(|row| row.layer.clone()).collect::<Vec<_>>()))
                                        ": " (percent(share))
                                    }
                                    None => { "exact up to rounding" }
                                }
                            }
                        }
                    }
                }
            }
        }
        p .small.muted {
            "Each codec at every layer that was measured with it, all others exact. Bytes are all that is \
             kept for the backward pass, masks and statistics included. Errors on this page are those that \
             last, √(bias² + variance / 19) of the whole gradient, relative to its norm: every step errs by the \
             bias in the same direction, but of the variance momentum leaves about a nineteenth. A bias counts as far \
             as it is more than chance: times 1 − (2 s / b²)², where s is the standard error of b², or not at all. With \
             a single draw the two cannot be told apart, and the whole error counts. A plan's error is predicted: the \
             layers' own errors, each measured with all other layers exact, add as squares. For layers \
             that pass no error on (convolutions, linear layers) this is exact. n is the number of batches over \
             all points and seeds; " (INTERVALS)
        }
    }
}

/// A row for each block of layers, a column for each codec.
pub(crate) fn by_block(study: &Sensitivity) -> Markup {
    let blocks = blocks(&study.rows);
    let of = |codec: &str| {
        blocks.iter().map(|b| of_block(&study.measured, codec, b)).collect::<Vec<_>>()
    };
    let columns: Vec<_> = study.codecs.iter().map(|codec| of(codec)).collect();
    let ends: Vec<(f64, f64)> = columns
        .iter()
        .map(|column| {
            let values = column.iter().flatten().map(|error| error.value);
            values.fold((f64::INFINITY, 0.0), |(low, high), v| (v.min(low), v.max(high)))
        })
        .collect();
    html! {
        div .wide.dense tabindex="0" role="region" aria-label="Totals by block" {
            table .sortable {
                thead {
                    tr {
                        th { "block" }
                        @for codec in &study.codecs { th .number { (codec) } }
                    }
                }
                tbody {
                    @for (i, block) in blocks.iter().enumerate() {
                        tr {
                            td { code { (block) } }
                            @for (column, (least, most)) in columns.iter().zip(&ends) {
                                @match &column[i] {
                                    Some(error) => {
                                        td .number data-value=(error.value) {
                                            @if error.value == *most && most > least { b { (significant(error.value)) " most" } }
                                            @else if error.value == *least && most > least { (significant(error.value)) " least" }
                                            @else { (significant(error.value)) }
                                            br;
                                            span .muted { (error.interval()) }
                                        }
                                    }
                                    None => { (optional(None, significant)) }
                                }
                            }
                        }
                    }
                }
            }
        }
        p .small.muted {
            "A block is the part of a layer's name before the last point. The error of the whole gradient \
             with the codec at all layers of the block, predicted as above, with its 95 % interval."
        }
    }
}

/// For each plan that was verified, a row for each plan that it was compared with.
pub(crate) fn contests(contests: &[Contest]) -> Markup {
    html! {
        @for contest in contests {
            h3 { (contest.plan) ": at most " (bytes(Some(contest.budget as f64))) }
            div .wide tabindex="0" role="region" aria-label={ "Rivals of " (contest.plan) } {
                table .sortable {
                    thead {
                        tr {
                            th { "plan" }
                            th .number { "bytes" }
                            th .number { "error" }
                            th .number { "single pass" }
                            th .number { "error of " (contest.plan) " beside it" }
                            th .number { "of a single pass" }
                            th .number { "n" }
                            th .number { "its accuracy beside it, points" }
                        }
                    }
                    tbody {
                        tr {
                            td { b { (contest.plan) } }
                            td .number data-value=(contest.bytes) { (bytes(Some(contest.bytes as f64))) }
                            (estimate(Some(&contest.error), ""))
                            (estimate(Some(&contest.one_pass_error), ""))
                            @for _ in 0..2 { (optional(None, significant)) }
                            td .number { (contest.error.n) }
                            (optional(None, significant))
                        }
                        @for rival in &contest.rivals {
                            @let best = contest.best_uniform.as_ref() == Some(&rival.plan);
                            tr {
                                td { (rival.plan) @if best { " " b { "best of one codec" } } }
                                td .number data-value=(rival.bytes) { (bytes(Some(rival.bytes as f64))) }
                                (estimate(Some(&rival.error), ""))
                                (estimate(Some(&rival.one_pass_error), ""))
                                (estimate(rival.ratio.as_ref(), "×"))
                                (estimate(rival.one_pass_ratio.as_ref(), "×"))
                                td .number { (rival.error.n) }
                                @match &rival.accuracy {
                                    Some(found) => { td .number data-value=(found.mean) { (found.said()) } }
                                    None => { (optional(None, significant)) }
                                }
                            }
                        }
                    }
                }
            }
        }
        p .small.muted {
            "Measured by passes with all codecs of a plan together, beside the exact gradient of all parameters \
             of the same batch and weights, at the points and with the seeds of the measurement, on batches that \
             no score was measured on. Error: the lasting one, as above; single pass: that of one pass. A \
             ratio, the geometric mean of those on single batches, says below 1× that the allocated plan errs less. \
             Its 95 % interval is that of the mean logarithm; one that includes 1× decides nothing, and fewer than three \
             seeds, or batches of a single seed, have none. Accuracies are those at the end \
             of training, the allocated plan's less the other's, in pairs by seed, with a 95 % interval by \
             Student's t. Of the plans of one codec that fit, up to three are compared; the best is the one \
             beside which the allocated plan errs most. Of errors and ratios, " (INTERVALS)
        }
    }
}

/// An estimate with its interval below it.
fn estimate(of: Option<&Estimate>, unit: &str) -> Markup {
    html! {
        @match of {
            Some(found) => {
                td .number data-value=(found.mean) {
                    (significant(found.mean)) (unit)
                    @if let Some(Interval { low, high }) = found.interval {
                        br;
                        span .muted { (significant(low)) " to " (significant(high)) }
                    }
                }
            }
            None => { (optional(None, significant)) }
        }
    }
}

/// The layers by how much the gradient suffers, a table for each codec.
pub(crate) fn rankings(study: &Sensitivity) -> Markup {
    html! {
        p .small.muted {
            "The layer at which a codec disturbs the gradient most comes first. Error: the lasting one of the whole \
             gradient with this layer alone compressed, the root of the mean square. Cosine: between the gradients \
             that the codec can change, those of the layer's own weight for convolutions and linear layers, \
             all of them for others. LI ≤ 0: the share of samples (convolutions) or tokens (linear \
             layers) whose learning indicator is at or below 0. An en dash means undefined or not measured."
        }
        @for codec in &study.codecs {
            @let ranked = ranked(&study.rows, codec);
            @if ranked.is_empty() {}
            @else if study.codecs.len() > OPEN {
                details open[*codec == study.codecs[0]] { summary { (codec) } (ranking(codec, &ranked)) }
            } @else {
                h3 { (codec) }
                (ranking(codec, &ranked))
            }
        }
    }
}

fn ranking(codec: &str, ranked: &[&Row]) -> Markup {
    let last = ranked.len() - 1;
    html! {
        div .wide tabindex="0" role="region" aria-label={ "Layers by the error of " (codec) } {
            table .sortable {
                thead {
                    tr {
                        th { "layer" }
                        th .number { "rank" }
                        th { "kind" }
                        th .number { "error" }
                        th .number { "95 % interval" }
                        th .number { "n" }
                        th .number { "kept" }
                        th .number { "uncompressed" }
                        th .number { "cosine" }
                        th .number { "LI ≤ 0" }
                    }
                }
                tbody {
                    @for (i, row) in ranked.iter().enumerate() {
                        tr {
                            td data-value=(row.layer) {
                                code { (row.layer) }
                                @if i == 0 && last > 0 { " " b { "most" } }
                                @if i == last && last > 0 { " " span .muted { "least" } }
                            }
                            td .number { (i + 1) }
                            td { (row.kind) }
                            td .number data-value=(row.error.value) { (significant(row.error.value)) }
                            (interval(&row.error))
                            td .number { (row.error.n) }
                            td .number data-value=(row.kept) { (bytes(Some(row.kept as f64))) }
                            td .number data-value=(row.raw) { (bytes(Some(row.raw as f64))) }
                            (optional(row.cosine, cosine))
                            (optional(row.nonpositive, percent))
                        }
                    }
                }
            }
        }
    }
}

/// The interval of an error, sorted by its lower end.
fn interval(error: &RelativeError) -> Markup {
    html! {
        @match error.least() {
            Some(low) => { td .number data-value=(low) { (error.interval()) } }
            None => { td .number data-value="" { (error.interval()) } }
        }
    }
}

/// A number that may be undefined; sorting puts it last.
fn optional(value: Option<f64>, said: fn(f64) -> String) -> Markup {
    html! {
        @match value {
            Some(value) => { td .number data-value=(value) { (said(value)) } }
            None => { td .number data-value="" { "–" } }
        }
    }
}

/// The layers that have no rank, and those that were not measured.
pub(crate) fn apart(study: &Sensitivity) -> Markup {
    let layers = study.measured.layers().iter();
    let (floor, others): (Vec<_>, Vec<_>) = layers.partition(|layer| layer.at_floor);
    let name = |layer: &&packlight_allocation::LayerChoices| layer.facts.layer.clone();
    let exact: Vec<String> = others.iter().filter(|l| l.choices.len() == 1).map(name).collect();
    html! {
        @if !floor.is_empty() {
            h3 { "At the numerical floor" }
            p {
                "The exact gradient of these layers is as small as rounding makes it, so that their errors \
                 have no meaning and no rank: "
                b { (list(&floor.iter().map(name).collect::<Vec<_>>())) } "."
            }
        }
        @if !exact.is_empty() {
            h3 { "Left exact" }
            p {
                "Not measured, and exact in all allocations ("  (count(exact.len() as u64, "layer")) "): "
                (list(&exact)) "."
            }
        }
    }
}
