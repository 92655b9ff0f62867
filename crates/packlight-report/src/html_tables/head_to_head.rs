//! The plans of a study side by side.

use maud::{Markup, html};

use super::name;
use crate::figures::Source;
use crate::format::{bytes, milliseconds, percent, thousandths};
use crate::plan::PlanRow;

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
        div .wide.dense tabindex="0" role="region" aria-label="Plans head to head" {
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
