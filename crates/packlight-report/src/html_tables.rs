//! The tables of a study's page, as HTML.

use maud::{Markup, html};

use crate::figures::Source;
use crate::format::{bytes, change, list, milliseconds, percent, thousandths};
use crate::plan::PlanRow;
use crate::study::{State, Study};

/// Which optional columns some plan fills; the others are left out.
#[derive(Clone, Copy)]
struct Columns {
    codec_state: bool,
    calibration: bool,
    whole: bool,
}

/// One row for each plan, with everything that plans are compared by.
pub(crate) fn head_to_head(source: &Source<'_>) -> Markup {
    let base = source.base();
    let any = |has: fn(&PlanRow) -> bool| source.plans.iter().any(has);
    let columns = Columns {
        codec_state: any(|p| p.codec_state.is_some()),
        calibration: any(|p| p.calibration_seconds.is_some()),
        whole: any(|p| p.changed.is_some() || p.bias_and_variance.is_some()),
    };
    html! {
        div .wide.dense.broad {
            table {
                thead {
                    tr {
                        th rowspan="2" { "plan" }
                        th rowspan="2" .number { "epochs" }
                        th rowspan="2" .number { "runs" br; "finished" }
                        th rowspan="2" .number { "test accuracy" br; "mean ± 95 % (n)" }
                        th colspan=(3 + u8::from(columns.codec_state)) .group { "kept bytes" }
                        th rowspan="2" .number.first { "peak," br; "allocator" }
                        th colspan=(2 + u8::from(columns.calibration)) .group { "time per step" }
                        th colspan="2" .group { "cosine" }
                        th colspan="2" .group { "LI" }
                        @if columns.whole { th colspan="4" .group { "whole gradient" } }
                    }
                    tr {
                        th .number.first { "predicted" }
                        th .number { "counted" }
                        @if columns.codec_state { th .number { "codec state" } }
                        th .number { "at most" }
                        th .number.first { "median" }
                        th .number { "vs " (base.map_or("none", |b| b.plan.name.as_str())) }
                        @if columns.calibration { th .number { "calibration," br; "a run" } }
                        th .number.first { "mean" }
                        th { "worst layer" }
                        th .number.first { "mean" }
                        th .number { "≤ 0" }
                        @if columns.whole {
                            th .number.first { "cosine" }
                            th .number { "bias" }
                            th .number { "variance" }
                            th .number { "draws" }
                        }
                    }
                }
                tbody { @for plan in source.plans { (quality(plan, base, columns)) } }
            }
        }
        p .small.muted {
            "Accuracy: test accuracy at the end of the finished runs, with the 95 % interval by \
             Student's t over n seeds (two or more). Kept bytes: predicted and counted are explained \
             below; codec state is what codecs carry from step to step; at most is the ledger's peak, \
             with what checkpointed segments keep again in the backward pass, plus the codec state. \
             Time: the median over epochs of the mean time of a training step. Probed steps are \
             excluded, so a study that probes every step shows no time. Calibration is the time that \
             a whole run spends measuring the layers' sensitivities, in addition to its steps. \
             Cosine and LI (learning indicator): means over the layers that the plan changes, all \
             probed steps and all seeds. LI is taken per sample or token; the second column is the \
             share of them at or below 0. Both judge each layer by itself, given the output gradient \
             that reaches it. Whole gradient: two whole backward passes are compared, so the errors \
             that later layers pass on are included. Cosine is the mean over the parameters whose \
             gradient differs. Bias |mean(h) − g| / |g| and variance E|h − mean(h)|² / |g|² are those \
             of all parameters together, over repeated passes on one batch; what chance alone adds \
             to the bias of so few draws is subtracted. An en dash means undefined or not recorded."
        }
    }
}

/// Bytes of each plan by the ledger, by the counting allocator and by the process.
pub(crate) fn memory_accounts(source: &Source<'_>) -> Markup {
    let base = source.base();
    html! {
        div .wide {
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
             gradients, temporary tensors and workspace. Peak, resident: the largest resident set of \
             the process up to the end of the plan's last run; runs share a process, so this is an \
             upper bound that never falls from run to run."
        }
    }
}

fn name(plan: &PlanRow) -> Markup {
    html! {
        td {
            b { (plan.plan.name) }
            @if plan.plan.spec != plan.plan.name { br; code { (plan.plan.spec) } }
            @if let Some(from) = &plan.plan.from { br; "from the weights of " b { (from) } }
        }
    }
}

/// Accuracy, memory, time and fidelity of one plan.
fn quality(plan: &PlanRow, base: Option<&PlanRow>, columns: Columns) -> Markup {
    let accuracy = plan.accuracy.map_or_else(
        || "–".to_string(),
        |a| {
            let half = a.half_interval().map_or_else(String::new, |h| format!(" ± {}", percent(h)));
            format!("{}{half} ({})", percent(a.mean), a.n)
        },
    );
    let defined = |value: Option<f64>| thousandths(value.unwrap_or(f64::NAN));
    html! {
        tr {
            (name(plan))
            td .number { (plan.planned_epochs) }
            td .number { (plan.finished) " of " (plan.planned) }
            td .number { (accuracy) }
            td .number.first { (bytes(plan.kept)) }
            td .number { (bytes(plan.counted)) }
            @if columns.codec_state { td .number { (bytes(plan.codec_state)) } }
            td .number { (bytes(plan.held)) }
            td .number.first { (bytes(plan.peak_allocated)) }
            td .number.first { (plan.step_seconds.map_or_else(|| "–".to_string(), milliseconds)) }
            td .number {
                (plan.time_ratio(base).map_or_else(|| "–".to_string(), |r| format!("{r:.2}×")))
            }
            @if columns.calibration {
                td .number {
                    (plan.calibration_seconds.map_or_else(|| "–".to_string(), |s| format!("{s:.1} s")))
                }
            }
            @if plan.layers.is_empty() {
                td .number.first { "–" } td { "–" } td .number.first { "–" } td .number { "–" }
            } @else if !plan.compresses() {
                td .number.first { "exact" } td { "–" } td .number.first { "exact" } td .number { "–" }
            } @else {
                td .number.first { (defined(plan.cosine())) }
                td {
                    @if let Some(worst) = plan.worst() {
                        (thousandths(worst.cosine)) br; code { (worst.layer) }
                    } @else { "–" }
                }
                td .number.first { (defined(plan.indicator())) }
                td .number { (percent(plan.nonpositive().unwrap_or(f64::NAN))) }
            }
            @if columns.whole {
                td .number.first {
                    @if plan.changed.as_ref().is_some_and(Vec::is_empty) { "exact" }
                    @else { (defined(plan.whole_cosine())) }
                }
                td .number { (defined(plan.bias_and_variance.map(|d| d.bias))) }
                td .number { (defined(plan.bias_and_variance.map(|d| d.variance))) }
                td .number { (plan.bias_and_variance.map_or_else(|| "–".to_string(), |d| d.draws.to_string())) }
            }
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
            td .number.first { (with_change(|p| p.peak_kept)) }
            td .number { (with_change(|p| p.peak_allocated)) }
            td .number { (bytes(plan.resident)) }
        }
    }
}

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

/// One row for each run: what it was made from, and on which machine.
pub(crate) fn provenance(study: &Study) -> Markup {
    html! {
        div .wide {
            table {
                thead {
                    tr {
                        th { "plan" }
                        th { "codecs" }
                        th .number { "seed" }
                        th { "state" }
                        th .number { "epochs" }
                        th { "study hash" }
                        th { "data hash" }
                        th { "version" }
                        th { "processor" }
                        th .number { "threads" }
                    }
                }
                tbody {
                    @for run in &study.runs {
                        @let m = &run.manifest;
                        tr {
                            td { (m.plan) }
                            td { code { (m.plan_spec) } }
                            td .number { (m.seed) }
                            td {
                                @match &run.state {
                                    State::Finished => "finished",
                                    State::Unfinished => "unfinished",
                                    State::Failed(_) => "failed",
                                    State::Damaged(_) => "damaged",
                                }
                            }
                            td .number { (run.epochs()) " of " (m.epochs) }
                            td { code title=(m.study_hash) { (short(&m.study_hash)) } }
                            td { code title=(m.data_hash) { (short(&m.data_hash)) } }
                            td { (m.version) }
                            td { (m.cpu) }
                            td .number { (m.threads) }
                        }
                    }
                }
            }
        }
        p .small.muted {
            "Hashes are SHA-256, shortened; hover over one to see all of it, or read the run's "
            code { "manifest.json" } ". "
            @if let Some(m) = study.runs.first().map(|r| &r.manifest) {
                (m.model) " has " (m.parameters) " trainable parameters. "
            }
            "The same study, data, seed and version on the same kind of machine give the same records \
             byte for byte; times and counted bytes are measurements and vary."
        }
    }
}

fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

/// By how many per cent the counted bytes differ from the predicted ones.
fn gap(predicted: Option<f64>, counted: Option<f64>) -> Option<String> {
    let (predicted, counted) = predicted.zip(counted)?;
    (predicted > 0.0)
        .then(|| format!("{:+.2} %", (counted / predicted - 1.0) * 100.0).replace('-', "−"))
}
