//! How adaptive plans changed during training.

use maud::{Markup, html};

use super::class;
use crate::figures::Source;
use crate::format::{bytes, count, percent};
use crate::moves::{Change, Period, first_adaptive, measuring_share, more_often, periods};

/// The most changes that a cell names.
const NAMED: usize = 6;

/// A table for each adaptive plan, with a row for each allocation of its first run; `None` if no plan is
/// adaptive.
pub(crate) fn moves(source: &Source<'_>) -> Option<Markup> {
    let names = source.plans.iter().map(|plan| plan.plan.name.as_str());
    let moved: Vec<&str> =
        names.filter(|name| first_adaptive(source.study, name).is_some()).collect();
    (!moved.is_empty()).then(|| {
        html! {
            h3 { "How adaptive plans changed" }
            (often(source))
            @for plan in moved { (table(source, plan)) }
            p .small.muted {
                "At each of these steps, each codec was tried at each layer alone, on batches of their own, and \
                 each layer got a codec anew. Kept at most: what a step keeps with these codecs, whatever the data \
                 are. Predicted error: that of the whole gradient, relative to its norm, which averaging over steps \
                 leaves. The passes of these measurements are part of the time of an epoch, but not of the time of \
                 a step, which is that with the last codecs; the column of calibration and the figure of accuracy \
                 against time have them."
            }
        }
    })
}

/// What choosing more often does to the accuracy.
fn often(source: &Source<'_>) -> Markup {
    let compared = more_often(source);
    html! {
        @for (plan, comparison) in &compared {
            p {
                b { (plan.plan.name) } " beside " (comparison.with)
                ", from which it differs only in how often it chooses: " (comparison.interval()) " points of accuracy (n = "
                (comparison.difference.n) "), "
                span class=(class(comparison)) { (comparison.verdict()) } "."
            }
        }
        @if !compared.is_empty() {
            p .small.muted {
                "Paired by seed and tested as above, corrected by Holm over "
                (count(compared.len() as u64, "such comparison")) "."
            }
        }
    }
}

fn table(source: &Source<'_>, plan: &str) -> Markup {
    let Some(run) = first_adaptive(source.study, plan) else { return html! {} };
    let periods = periods(run);
    let changes = |number: usize| {
        let before = number.checked_sub(1).map(|before| &periods[before])?;
        Some(periods[number].changes_since(before))
    };
    html! {
        p {
            b { (plan) } ", seed " (run.manifest.seed) ": "
            (count(periods.len() as u64, "allocation"))
            @if let Some(budget) = periods.first().map(|period| period.budget) {
                " within " (bytes(Some(budget as f64)))
            }
            @if let Some(share) = measuring_share(source.study, plan) {
                "; measuring took " (percent(share)) " of the time of training"
            }
            "."
        }
        div .wide tabindex="0" role="region" aria-label={ "How " (plan) " changed" } {
            table {
                thead {
                    tr {
                        th .number { "from step" }
                        th .number { "kept at most" }
                        th .number { "predicted error" }
                        th .number { "layers changed" }
                        th { "which" }
                    }
                }
                tbody {
                    @for (number, period) in periods.iter().enumerate() {
                        (row(period, changes(number).as_deref()))
                    }
                }
            }
        }
    }
}

fn row(period: &Period<'_>, changes: Option<&[Change<'_>]>) -> Markup {
    html! {
        tr {
            td .number { (period.step) }
            td .number { (bytes(Some(period.kept as f64))) }
            td .number { (period.error_in_words()) }
            td .number { (changes.map_or_else(|| "–".to_owned(), |all| format!("{} of {}", all.len(), period.layers.len()))) }
            td { (changes.map_or_else(|| "the first allocation".to_owned(), in_words)) }
        }
    }
}

/// The first changes, and how many more there are.
fn in_words(changes: &[Change<'_>]) -> String {
    let mut words: Vec<String> = (changes.iter().take(NAMED))
        .map(|(layer, then, now)| format!("{layer}: {then} → {now}"))
        .collect();
    if changes.len() > NAMED {
        words.push(format!("{} more", changes.len() - NAMED));
    }
    if words.is_empty() { "none".to_owned() } else { words.join("; ") }
}
