//! The plans of a study side by side.

use maud::{Markup, html};

use super::name;
use crate::comparison::{Comparison, LEVEL, Outcome, POWER, margin};
use crate::figures::Source;
use crate::format::{bytes, milliseconds, multiple, percent, thousandths};
use crate::plan::{PlanRow, SeedStats};
use crate::step_time::StepTime;
use crate::training::Training;

/// Which optional columns some plan fills; the others are left out.
#[derive(Clone, Copy)]
struct Columns {
    perplexity: bool,
    bleu: bool,
    codec_state: bool,
    calibration: bool,
    whole: bool,
}

/// One row for each plan that starts as the study does, with everything that plans are compared by.
pub(crate) fn head_to_head(source: &Source<'_>) -> Markup {
    html! {
        (table(source, &source.plans_from_the_start(), "Plans head to head"))
        (how_it_is_judged(source))
        (columns_explained())
    }
}

/// The same for the plans that start from the weights of another one, under a heading; empty if there
/// are none.
pub(crate) fn continued(source: &Source<'_>) -> Markup {
    let plans: Vec<&PlanRow> = source.plans.iter().filter(|p| p.training.continued()).collect();
    html! {
        @if !plans.is_empty() {
            h3 { "Started from trained weights" }
            p {
                "These plans start from the weights that another plan ends with, and are compared with \
                 that plan. Epochs are those that led to these weights plus their own."
            }
            (table(source, &plans, "Plans that start from trained weights"))
        }
    }
}

fn table(source: &Source<'_>, plans: &[&PlanRow], label: &str) -> Markup {
    let base = source.base();
    let any = |has: fn(&PlanRow) -> bool| plans.iter().any(|plan| has(plan));
    let columns = Columns {
        perplexity: any(|p| p.perplexity.is_some()),
        bleu: any(|p| p.bleu.is_some()),
        codec_state: any(|p| p.codec_state.is_some()),
        calibration: any(|p| p.calibration_seconds.is_some()),
        whole: any(|p| p.changed.is_some() || p.bias_and_variance.is_some()),
    };
    let reference = base.map_or("none", |b| b.plan.name.as_str());
    html! {
        div .wide.dense tabindex="0" role="region" aria-label=(label) {
            table {
                thead {
                    tr {
                        th rowspan="2" { "plan" }
                        th rowspan="2" .number { "epochs" }
                        th rowspan="2" .number { "runs" br; "finished" }
                        th rowspan="2" .number { "test accuracy" br; "mean ± 95 % (n)" }
                        @if columns.perplexity { th rowspan="2" .number { "perplexity" br; "mean ± 95 %" } }
                        @if columns.bleu { th rowspan="2" .number { "BLEU" br; "mean ± 95 %" } }
                        th rowspan="2" .number {
                            @if plans.iter().all(|p| p.training.continued()) {
                                "difference from" br; "its start, paired"
                            } @else {
                                "difference from" br; (reference) ", paired"
                            }
                        }
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
                        th .number { "vs " (reference) }
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
                tbody { @for plan in plans { (quality(plan, source, columns)) } }
            }
        }
    }
}

/// Which tests stand behind the marks, and what they cannot tell.
fn how_it_is_judged(source: &Source<'_>) -> Markup {
    let compared = || source.plans.iter().filter_map(|plan| plan.comparison.as_ref());
    let Some(tests) = compared().map(|comparison| comparison.plans).max() else {
        return html! {};
    };
    let tested = compared().any(|c| c.tested.difference_p.is_some());
    let (level, power) = (100.0 * LEVEL, 100.0 * POWER);
    html! {
        p .small.muted {
            b { "Difference, paired. " }
            "In percentage points, over the seeds that both plans have finished: the mean of the \
             differences within a seed, with its 95 % interval by Student's t, from three seeds on. "
            @if tested {
                "Marks are corrected by Holm over the " (tests) " plans of this study that are tested: \
                 the chance that it calls any plan's difference a loss or a gain without there being \
                 one, by paired t-tests, is at most " (level) " %, and the chance that it calls any plan \
                 equivalent without its being so, by two one-sided paired t-tests, is at most " (level)
                " %. "
            } @else {
                "No plan could be tested here, so no difference is marked; a correction for their \
                 number (Holm's) would be made. "
            }
            "Equivalent means within " (margin()) ", a margin that is the same for all studies. Where a \
             number of seeds is given, so many would find a loss of " (margin()) ", or show that there is \
             none, with a probability of at least " (power) " % each, if the differences between seeds \
             spread as these do. Intervals are not corrected: what one of them shows is called a loss or a \
             gain \"if tested alone\", since among so many plans some would show one by chance."
        }
    }
}

fn columns_explained() -> Markup {
    html! {
        p .small.muted {
            b { "Columns. " }
            "Accuracy: test accuracy at the end of the finished runs, with the 95 % interval by \
             Student's t over n seeds (two or more); of a language model, the share of the tokens that it \
             predicts, beside its perplexity, the exponential of the test loss. BLEU: that of greedy \
             translations of the test part, from 0 to 100. Kept bytes: predicted and counted are explained \
             below; codec state is what codecs carry from step to step; at most is the ledger's peak, \
             with what checkpointed segments keep again in the backward pass, plus the codec state. Peak, \
             allocator: the most live bytes during a step beyond those before it, plus the codec state. \
             Time: steps of each plan and of the exact plan were timed by turns; the median step, and \
             the median over the rounds of the ratio, with the 95 % interval of that median by order \
             statistics. The interval of the exact plan is that of its ratio to a second copy of \
             itself: the noise. Without a timing of the plan as it was run, on the machine of the exact \
             plan's, there is no time. Calibration is the time that \
             a whole run spends measuring the layers' sensitivities, for codecs that need them or to choose \
             codecs, in addition to its steps. \
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

/// The difference from the plan that it is compared with, and what follows from it.
fn difference(plan: &PlanRow, base: Option<&PlanRow>) -> Markup {
    let usual = base.map(PlanRow::label);
    html! {
        td .number.difference {
            @match &plan.comparison {
                Some(comparison) => {
                    (comparison.said())
                    @if Some(&comparison.with) != usual.as_ref() || plan.training.continued() {
                        br; "vs " (comparison.with)
                    }
                    br; span class=(class(comparison)) { (comparison.verdict()) }
                }
                None => "–",
            }
        }
    }
}

/// The colour of what a comparison says.
pub(crate) fn class(comparison: &Comparison) -> &'static str {
    match comparison.tested.outcome {
        Outcome::Equivalent | Outcome::Gain => "confirmed",
        Outcome::Loss => "denied",
        _ => "open",
    }
}

/// The sign of what a comparison shows; empty if it shows nothing.
pub(crate) fn sign(comparison: &Comparison) -> &'static str {
    match comparison.tested.outcome {
        Outcome::Equivalent => "≈",
        Outcome::Loss => "▼",
        Outcome::Gain => "▲",
        _ => "",
    }
}

/// `1.23× (1.20 to 1.26)`; for the exact plan, whose ratio is 1, the noise stands in parentheses.
fn ratio(time: &StepTime) -> String {
    let interval = time.interval.map(|(low, high)| format!(" ({low:.2} to {high:.2})"));
    format!("{}{}", multiple(Some(time.ratio)), interval.unwrap_or_default())
}

/// The mean, and the 95 % interval where there are seeds enough.
fn hundredths(seeds: SeedStats) -> String {
    let half = seeds.half_interval().map_or_else(String::new, |half| format!(" ± {half:.2}"));
    format!("{:.2}{half}", seeds.mean)
}

/// Accuracy, memory, time and fidelity of one plan.
fn quality(plan: &PlanRow, source: &Source<'_>, columns: Columns) -> Markup {
    let dash = || "–".to_string();
    let accuracy = plan.accuracy.map_or_else(dash, |a| {
        let half = a.half_interval().map_or_else(String::new, |h| format!(" ± {}", percent(h)));
        format!("{}{half} ({})", percent(a.mean), a.n)
    });
    let defined = |value: Option<f64>| thousandths(value.unwrap_or(f64::NAN));
    html! {
        tr {
            (name(plan))
            td .number {
                @match plan.training {
                    Training::Plain => { (plan.planned_epochs) }
                    Training::OtherLength => { b { (plan.planned_epochs) } }
                    Training::Continued { before } => { (before) " + " (plan.planned_epochs) }
                }
            }
            td .number { (plan.finished) " of " (plan.planned) }
            td .number { (accuracy) }
            @if columns.perplexity { td .number { (plan.perplexity.map_or_else(dash, hundredths)) } }
            @if columns.bleu { td .number { (plan.bleu.map_or_else(dash, hundredths)) } }
            (difference(plan, source.base()))
            td .number.first { (bytes(plan.kept)) }
            td .number { (bytes(plan.counted)) }
            @if columns.codec_state { td .number { (bytes(plan.codec_state)) } }
            td .number { (bytes(plan.held)) }
            td .number.first { (bytes(plan.peak_allocated)) }
            td .number.first { (plan.time.map_or_else(dash, |time| milliseconds(time.seconds))) }
            td .number { (plan.time.as_ref().map_or_else(dash, ratio)) }
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
