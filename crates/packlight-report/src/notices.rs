//! What a reader must know before the results, at the top of the page.

use maud::{Markup, html};

use crate::figures::Source;
use crate::format::{self, percent};
use crate::study::{State, Study};
use crate::training::row;

/// The most plans that are listed openly.
const MOST_LISTED: usize = 8;

/// All notices of a study.
pub(crate) fn notices(source: &Source) -> Markup {
    let study = source.study;
    html! {
        (shortened(&study.scales()))
        (incomplete(study))
        (left_out(study))
        (only_guessed(source))
    }
}

/// That the exact plan only guesses, so that the others have no accuracy to keep.
fn only_guessed(source: &Source) -> Markup {
    let accuracies = source.study.accuracies();
    let base = source.study.baseline().and_then(|plan| row(source.plans, &plan.name));
    let found = base.and_then(|base| base.accuracy.filter(|found| accuracies.only_guessed(*found)));
    html! {
        @if let (Some(found), Some(guessed)) = (found, accuracies.guessed) {
            div .notice role="status" {
                strong { "The exact plan only guesses: " (percent(found.mean)) " of the test part is right." }
                " Always answering alike gets " (percent(guessed)) ". So nothing here shows whether a plan \
                 keeps the accuracy. Train for more epochs, on more data or with another learning rate."
            }
        }
    }
}

/// That runs were shortened by `--scale`; empty without `scales`.
pub(crate) fn shortened(scales: &[f64]) -> Markup {
    let scales: Vec<String> = scales.iter().map(f64::to_string).collect();
    html! {
        @if !scales.is_empty() {
            div .notice role="status" {
                strong { "A first look: these runs were made with --scale " (format::list(&scales)) "." }
                " Their epochs are not the study's, so this page gives no verdict. Run the study again \
                 without --scale for that."
            }
        }
    }
}

/// Runs that have not finished, at the top of the page where nobody overlooks them.
fn incomplete(study: &Study) -> Markup {
    let odd: Vec<_> = study.runs.iter().filter(|r| !r.finished()).collect();
    let total = study.runs.len() + study.unreadable.len() + study.missing.len();
    let finished = study.runs.len() - odd.len();
    if finished == total && study.no_grid.is_none() {
        return html! {};
    }
    html! {
        div .notice role="status" {
            strong {
                "This report " @if finished == total { "may be" } @else { "is" } " incomplete: "
                (finished) " of " (total) " runs have finished."
            }
            " Figures show what has been recorded; accuracies, trade-offs and verdicts use finished \
             runs only."
            ul {
                @for run in odd {
                    li {
                        (run.manifest.plan) ", seed " (run.manifest.seed) ": "
                        @match &run.state {
                            State::Finished => {}
                            State::Unfinished => {
                                "unfinished, " (run.epochs()) " of "
                                (format::count(run.manifest.epochs, "epoch"))
                                " recorded; run the study again to resume it"
                            }
                            State::Failed(reason) => {
                                "failed after " (format::count(run.epochs(), "epoch")) ": " (reason)
                            }
                            State::Damaged(reason) => { "its records are left out: " (reason) }
                        }
                    }
                }
                (not_started(&study.missing))
                @if let Some(reason) = &study.no_grid {
                    li { (reason) "; the runs still to be started are not known" }
                }
                @for (folder, reason) in &study.unreadable {
                    li { "folder " code { (folder) } ": left out: " (reason) }
                }
            }
        }
    }
}

/// Plans with runs that nobody has started, folded away if they are many.
fn not_started(missing: &[(String, u64)]) -> Markup {
    let mut plans: Vec<(&str, Vec<String>)> = Vec::new();
    for (plan, seed) in missing {
        match plans.iter_mut().find(|(known, _)| known == plan) {
            Some((_, seeds)) => seeds.push(seed.to_string()),
            None => plans.push((plan, vec![seed.to_string()])),
        }
    }
    let items = html! {
        @for (plan, seeds) in &plans {
            li {
                (plan) @if seeds.len() == 1 { ", seed " } @else { ", seeds " }
                (format::list(seeds)) ": not started"
            }
        }
    };
    html! {
        @if plans.len() <= MOST_LISTED { (items) }
        @else {
            li {
                details {
                    summary { (format::count(missing.len() as u64, "run")) " not started" }
                    ul { (items) }
                }
            }
        }
    }
}

/// Folders that hold no run of this study, and why not.
fn left_out(study: &Study) -> Markup {
    html! {
        @if !study.left_out.is_empty() {
            div .notice role="status" {
                strong { "Folders that are left out, as they hold no run of this study:" }
                ul {
                    @for folder in &study.left_out {
                        li { code { (folder.folder) } ": " (folder.reason) }
                    }
                }
            }
        }
    }
}
