//! The page of two studies side by side: one file that needs nothing else.

use maud::{Markup, html};
use packlight_figure::{Figure, significant};
use packlight_spec::{Difference, Given};

use super::Beside;
use super::layers::LayerChange;
use super::plans::{Compared, PlanChange, Time};
use crate::comparison::LEVEL;
use crate::document::document;
use crate::format::{self, bytes, list, multiple, percent, points};
use crate::page::drawing_in;
use crate::statistics::paired::FEWEST;

/// The page.
pub(super) fn page(beside: &Beside, findings: &[String], figures: &[Figure]) -> String {
    let [first, second] = beside.labels();
    let title = format!("{first} and {second} side by side");
    let body = html! {
        header {
            h1 { (title) }
            @for side in &beside.sides { p .muted { b { (side.label) } ": " (side.title) "." } }
            nav {
                a href="#findings" { "What changed" }
                a href="#settings" { "Settings that differ" }
                @if !beside.plans.is_empty() { a href="#plans" { "Plans" } }
                @if !beside.layers.is_empty() { a href="#layers" { "Single layers" } }
                @if !figures.is_empty() { a href="#figures" { "Figures" } }
            }
        }
        main {
            (unfinished(beside))
            section #findings {
                h2 { "What changed" }
                @if findings.is_empty() { p { "Neither accuracies nor errors of layers can be compared." } }
                ul { @for finding in findings { li { (finding) } } }
            }
            section #settings {
                h2 { "Settings that differ" }
                (settings(beside))
            }
            @if !beside.plans.is_empty() {
                section #plans {
                    h2 { "Plans" }
                    (plans(beside))
                    (plans_explained(beside))
                    (of_one(beside))
                }
            }
            @if !beside.layers.is_empty() {
                section #layers {
                    h2 { "Single layers" }
                    (layers(beside))
                }
            }
            @if !figures.is_empty() {
                section #figures {
                    h2 { "Figures" }
                    @for figure in figures { (drawing_in(figure, "")) }
                }
            }
        }
    };
    document(&title, &body)
}

/// Studies whose runs have not all finished.
fn unfinished(beside: &Beside) -> Markup {
    let open = |side: &super::Side| {
        let plans = &side.runs.as_ref()?.plans;
        let (finished, planned) =
            plans.iter().fold((0, 0), |(f, p), plan| (f + plan.finished, p + plan.planned));
        (finished < planned)
            .then(|| format!("{}: {finished} of {planned} runs have finished", side.label))
    };
    let said: Vec<String> = beside.sides.iter().filter_map(open).collect();
    html! {
        @if !said.is_empty() {
            div .notice role="status" {
                strong { "Not everything has finished. " }
                (list(&said)) ". Plans with runs that have not finished are not judged."
            }
        }
    }
}

fn settings(beside: &Beside) -> Markup {
    let [first, second] = beside.labels();
    html! {
        @if beside.settings.is_empty() {
            p { "None: both were made with the same settings, data, version and machine, as far as is known." }
        } @else {
            div .wide tabindex="0" role="region" aria-label="Settings that differ" {
                table {
                    thead { tr { th { "setting" } th { (first) } th { (second) } } }
                    tbody {
                        @for Difference { key, first, second } in &beside.settings {
                            tr {
                                td { code { (key) } }
                                td { (value(key, first)) }
                                td { (value(key, second)) }
                            }
                        }
                    }
                }
            }
            p .small.muted {
                "Keys of " code { "study.toml" } " with the values that the runs were made with, where both have \
                 runs; names and plans are not listed. Of tables of different names, such as two optimizers, only \
                 the names are. Version, processor and threads are those of the first run."
            }
        }
    }
}

/// A value as the table shows it; of hashes the beginning.
fn value(key: &str, value: &serde_json::Value) -> String {
    let text = Given(value).to_string();
    let is_hash = matches!(key, "data_hash" | "weights") && text.len() == 64;
    match is_hash {
        true => text.chars().take(12).collect(),
        false => text,
    }
}

fn plans(beside: &Beside) -> Markup {
    let [first, second] = beside.labels();
    html! {
        div .wide.dense tabindex="0" role="region" aria-label="Plans of both studies" {
            table {
                thead {
                    tr {
                        th rowspan="2" { "plan" }
                        th colspan="3" .group { "test accuracy" }
                        th colspan="3" .group { "most bytes held" }
                        th colspan="3" .group { "time of a step" }
                        th colspan="3" .group { "mean cosine" }
                    }
                    tr {
                        @for _ in 0..4 {
                            th .number.first { (first) }
                            th .number { (second) }
                            th .number { "change" }
                        }
                    }
                }
                tbody { @for plan in &beside.plans { (row(plan)) } }
            }
        }
    }
}

fn row(plan: &PlanChange) -> Markup {
    let [first, second] = &plan.specs;
    html! {
        tr {
            td {
                b { (plan.plan) }
                @if first != second { br; code { (first) } br; "now " code { (second) } }
                @else if *first != plan.plan { br; code { (first) } }
                @if plan.epochs[0] != plan.epochs[1] {
                    br; (plan.epochs[0]) " and " (format::count(plan.epochs[1], "epoch"))
                }
            }
            (compared(plan.accuracy.as_ref(), &ACCURACY))
            (held(plan.held))
            (times(plan))
            (compared(plan.cosine.as_ref(), &COSINE))
        }
    }
}

/// How a quantity and its changes are written.
struct Unit {
    value: fn(f64) -> String,
    /// Half the width of its interval.
    width: fn(f64) -> String,
    change: fn(f64) -> String,
    /// Half the width of the change's interval.
    change_width: fn(f64) -> String,
}

const ACCURACY: Unit = Unit {
    value: percent,
    width: percent,
    change: points,
    change_width: |half| format!("{:.1}", 100.0 * half),
};
const COSINE: Unit =
    Unit { value: format::cosine, width: significant, change: signed, change_width: significant };

fn signed(change: f64) -> String {
    if change > 0.0 { format!("+{}", significant(change)) } else { significant(change) }
}

/// Three cells: both means, and the change with what follows from it.
fn compared(quantity: Option<&Compared>, unit: &Unit) -> Markup {
    let Some(quantity) = quantity else {
        return html! { td .number.first { "–" } td .number { "–" } td .number { "–" } };
    };
    let with = |value: String, half: Option<f64>, width: fn(f64) -> String| match half {
        Some(half) => format!("{value} ± {}", width(half)),
        None => value,
    };
    let mean = |side: usize| {
        let value = (unit.value)(quantity.means[side]);
        let said = with(value, quantity.half_intervals[side], unit.width);
        format!("{said} ({})", quantity.n[side])
    };
    let change = (unit.change)(quantity.change);
    let class = if quantity.exceeds() { "partly" } else { "open" };
    html! {
        td .number.first { (mean(0)) }
        td .number { (mean(1)) }
        td .number.difference {
            (with(change, quantity.change_half_interval, unit.change_width))
            @if quantity.paired { ", paired" }
            br; span class=(class) { (quantity.said()) }
        }
    }
}

fn held([first, second]: [Option<f64>; 2]) -> Markup {
    html! {
        td .number.first { (bytes(first)) }
        td .number { (bytes(second)) }
        td .number {
            @match first.zip(second) {
                Some((first, second)) => (format::change(second, first, "less", "more")),
                None => "–",
            }
        }
    }
}

fn times(plan: &PlanChange) -> Markup {
    let time = |time: Option<Time>| match time {
        Some(Time { ratio, interval: Some((low, high)) }) => {
            format!("{} ({low:.2} to {high:.2})", multiple(Some(ratio)))
        }
        time => multiple(time.map(|time| time.ratio)),
    };
    let [first, second] = plan.time;
    html! {
        td .number.first { (time(first)) }
        td .number { (time(second)) }
        td .number.difference {
            @match first.zip(second) {
                Some((first, second)) => {
                    (format::change(second.ratio, first.ratio, "less", "more"))
                    br;
                    @match plan.time_exceeds {
                        Some(true) => span .partly { "exceeds the noise" },
                        Some(false) => span .open { "within the noise" },
                        None => span .open { "cannot say" },
                    }
                }
                None => "–",
            }
        }
    }
}

fn plans_explained(beside: &Beside) -> Markup {
    let level = 100.0 * LEVEL;
    html! {
        p .small.muted {
            b { "How it is judged. " }
            "Accuracy, in per cent, and cosine are means over n seeds with the 95 % interval by Student's t; changes \
             of accuracy are in percentage points. "
            @if beside.alike {
                "Both studies have the same model, data, batches and initial weights, so a seed means the same start \
                 and the same order of samples in both: where a plan has the same seeds, epochs and start, changes are \
                 paired, seed by seed. "
            } @else {
                "The studies differ in their model, data, batches or initial weights, so the same seed has nothing in \
                 common: the means are compared by Welch's test, which takes neither the same spread nor pairs. "
            }
            "A change exceeds the noise if its test says so after Holm's correction over the plans of this page: that \
             any change of a quantity is called one without being one has a probability of at most " (level) " %. \
             With fewer than " (FEWEST) " seeds in either study nothing is said. Bytes are counted, so any change of \
             them is one. Times are medians of ratios to the exact plan of the same study, and exceed the noise where \
             their 95 % intervals have nothing in common; these are not corrected. Cosine: over the layers that the \
             plan compresses, all probed steps. An en dash means not recorded, or nothing compressed."
        }
    }
}

fn of_one(beside: &Beside) -> Markup {
    html! {
        @for (label, plans) in beside.labels().iter().zip(&beside.plans_of_one) {
            @if !plans.is_empty() {
                p { "Only " b { (label) } " has " (list(plans)) "." }
            }
        }
    }
}

/// A table for each codec, the first one open.
fn layers(beside: &Beside) -> Markup {
    let mut codecs: Vec<&str> = beside.layers.iter().map(|change| change.codec.as_str()).collect();
    codecs.dedup(); // changes are codec by codec
    let tested = beside.layers.iter().filter(|change| change.exceeds.is_some()).count();
    let paired = beside.layers.iter().any(|change| change.paired);
    html! {
        p .small.muted {
            "The lasting error of the whole gradient with this layer alone compressed, relative to its norm, in both \
             studies, and the second one as a multiple of the first, each with its 95 % interval by Student's t over the seeds, or with a single seed over the \
             batches of each point. "
            @if paired {
                "Both were measured on the same batches, so the interval of the ratio is that of pairs. "
            } @else {
                "The batches are not the same, so the errors are independent. "
            }
            "A change exceeds the noise if this interval excludes 1, and so the interval of the difference 0. Intervals \
             are not corrected for their number: of " (tested) ", about "
            (format!("{:.0}", (LEVEL * tested as f64).ceil())) " would exclude 1 by chance. Rank: the place among the \
             layers that both have measured with the codec, 1 being the most sensitive."
        }
        @for (i, codec) in codecs.iter().enumerate() {
            details open[i == 0] {
                summary { (codec) }
                (codec_table(beside, codec))
            }
        }
    }
}

fn codec_table(beside: &Beside, codec: &str) -> Markup {
    let [first, second] = beside.labels();
    let interval = |interval: Option<(f64, f64)>, n: u64| match interval {
        None => format!("none, n = {n}"),
        Some((low, high)) => format!("{} to {}", significant(low), significant(high)),
    };
    let error = |change: &LayerChange, side: usize| {
        html! {
            td .number.first { (significant(change.errors[side])) }
            td .number { (interval(change.intervals[side], change.n[side])) }
        }
    };
    html! {
        div .wide tabindex="0" role="region" aria-label={ "Errors of " (codec) " in both studies" } {
            table {
                thead {
                    tr {
                        th { "layer" }
                        th .number.first { (first) } th .number { "95 % interval" }
                        th .number.first { (second) } th .number { "95 % interval" }
                        th .number.first { "ratio" } th .number { "95 % interval" }
                        th { "change" }
                        th .number { "rank" }
                    }
                }
                tbody {
                    @for change in beside.layers.iter().filter(|change| change.codec == codec) {
                        tr {
                            td { code { (change.layer) } }
                            (error(change, 0))
                            (error(change, 1))
                            td .number.first { (change.ratio.map_or_else(|| "–".to_owned(), significant)) }
                            td .number {
                                @match change.ratio_interval {
                                    Some((low, high)) => { (significant(low)) " to " (significant(high)) }
                                    None => "–",
                                }
                            }
                            td { (change.said()) }
                            td .number {
                                @match change.ranks {
                                    Some([a, b]) if a == b => (a),
                                    Some([a, b]) => b { (a) " → " (b) },
                                    None => "–",
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
