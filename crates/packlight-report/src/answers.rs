//! What a study shows, in a few answers: the top of its page.

use maud::{Markup, html};
use serde::Serialize;

use crate::comparison::{Comparison, Outcome, margin};
use crate::figures::Source;
use crate::format::{list, multiple, percent};
use crate::plan::PlanRow;
use crate::study::Run;
use crate::training::Training;

/// Budgets of bytes, as fractions of the exact plan's.
const BUDGETS: [(f64, &str); 3] = [(0.5, "1/2"), (0.25, "1/4"), (0.125, "1/8")];

/// What a study shows about one question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// The question.
    pub question: String,
    /// The plan that answers it, if one does.
    pub plan: Option<String>,
    /// Its numbers and what the tests say about them, or why there is no answer.
    pub answer: String,
}

/// The answers that every study gives, in the same order.
pub(crate) fn answers(source: &Source<'_>) -> Vec<Answer> {
    let mut answers = vec![fewest_bytes(source)];
    let mut before: Option<String> = None;
    for (budget, said) in BUDGETS {
        let mut best = best_within(source, budget, said);
        if best.plan.is_some() && best.plan == before {
            "the same".clone_into(&mut best.answer);
        }
        before.clone_from(&best.plan);
        answers.push(best);
    }
    answers.push(ended(source, "Diverged", Run::diverged));
    answers.push(ended(source, "Failed otherwise", |run| run.failed() && !run.diverged()));
    answers
}

/// The exact plan, if it has finished runs and its bytes are known.
fn base<'a>(source: &'a Source<'_>) -> Option<(&'a PlanRow, f64)> {
    let base = source.base().filter(|base| base.accuracy.is_some())?;
    Some((base, base.held?))
}

/// A plan that trains as the exact plan does, beside it.
#[derive(Clone, Copy)]
pub(crate) struct Candidate<'a> {
    pub(crate) plan: &'a PlanRow,
    /// The most bytes held at once, as a multiple of the exact plan's.
    pub(crate) held: f64,
    pub(crate) comparison: &'a Comparison,
}

/// The plans that train as the exact plan does, from the fewest bytes on.
pub(crate) fn candidates<'a>(source: &'a Source<'_>) -> Vec<Candidate<'a>> {
    let of = |plan: &'a PlanRow| {
        let held = plan.held_ratio(source.base())?;
        Some(Candidate { plan, held, comparison: plan.comparison.as_ref()? })
    };
    let plain = source.plans.iter().filter(|plan| plan.training == Training::Plain);
    let mut all: Vec<_> = plain.filter_map(of).collect();
    all.sort_by(|a, b| a.held.total_cmp(&b.held));
    all
}

fn fewest_bytes(source: &Source<'_>) -> Answer {
    let question = format!("Fewest bytes without losing {} of accuracy", margin());
    let answer = |plan: Option<&PlanRow>, answer: String| Answer {
        question: question.clone(),
        plan: plan.map(|plan| plan.plan.name.clone()),
        answer,
    };
    if base(source).is_none() {
        return answer(None, NO_BASE.to_owned());
    }
    let smaller: Vec<_> = candidates(source).into_iter().filter(|c| c.held < 1.0).collect();
    let outcome = |candidate: &&Candidate<'_>| candidate.comparison.tested.outcome;
    if let Some(kept) = smaller.iter().find(|candidate| outcome(candidate).keeps()) {
        return answer(Some(kept.plan), beside(kept.held, kept.comparison));
    }
    let open = smaller.iter().find(|c| !matches!(outcome(c), Outcome::Loss | Outcome::LossAlone));
    match (open, smaller.is_empty()) {
        (Some(open), _) => answer(
            None,
            format!(
                "cannot say: no plan is shown to keep it. The smallest whose own interval shows no \
                 loss is {}: {}",
                open.plan.plan.name,
                beside(open.held, open.comparison)
            ),
        ),
        (None, true) => answer(None, "no plan holds fewer bytes than the exact one".to_owned()),
        (None, false) => {
            let shown = smaller.iter().all(|c| outcome(&c) == Outcome::Loss);
            let alone = if shown { "" } else { ", if each is tested alone" };
            answer(None, format!("every plan that holds fewer bytes loses accuracy{alone}"))
        }
    }
}

const NO_BASE: &str = "cannot say: no run of the exact plan has finished";

fn best_within(source: &Source<'_>, budget: f64, said: &str) -> Answer {
    let base = base(source);
    let whose = base.map_or("the exact plan", |(base, _)| &base.plan.name);
    let question = format!("Best with {said} of the bytes of {whose}");
    let all = candidates(source);
    let within = all.iter().filter(|candidate| candidate.held <= budget);
    let mean = |plan: &PlanRow| plan.accuracy.map_or(f64::NEG_INFINITY, |accuracy| accuracy.mean);
    let best = within.max_by(|a, b| mean(a.plan).total_cmp(&mean(b.plan)));
    let (plan, answer) = match (base, best) {
        (None, _) => (None, NO_BASE.to_owned()),
        (_, None) => (None, "no plan holds so few".to_owned()),
        (_, Some(Candidate { plan, held, comparison })) => {
            let accuracy = percent(mean(plan));
            (Some(plan.plan.name.clone()), format!("{accuracy}; {}", beside(*held, comparison)))
        }
    };
    Answer { question, plan, answer }
}

/// `0.37× the bytes; difference −0.2 ± 0.5 (n = 5): equivalent within 1 point`.
pub(crate) fn beside(held: f64, comparison: &Comparison) -> String {
    let bytes = multiple(Some(held));
    format!("{bytes} the bytes; difference {}: {}", comparison.said(), comparison.verdict())
}

/// The runs that ended early in one way.
fn ended(source: &Source<'_>, how: &str, ended: impl Fn(&Run) -> bool) -> Answer {
    let runs = source.study.runs.iter().filter(|run| ended(run));
    let mut names: Vec<String> =
        runs.map(|run| format!("{}, seed {}", run.manifest.plan, run.manifest.seed)).collect();
    if how != "Diverged" {
        names.extend(source.study.unreadable.iter().map(|(folder, _)| folder.clone()));
    }
    let answer = if names.is_empty() { "no run".to_owned() } else { list(&names) };
    Answer { question: how.to_owned(), plan: None, answer }
}

/// The answers as a table: a column for each study, which is headed by its name if there are several.
pub(crate) fn table(studies: &[(&str, Vec<Answer>)]) -> Markup {
    html! {
        div .wide tabindex="0" role="region" aria-label="Summary" {
            table {
                @if studies.len() > 1 {
                    thead {
                        tr {
                            th { "study" }
                            @for answer in studies.iter().take(1).flat_map(|(_, answers)| answers) {
                                th { (answer.question) }
                            }
                        }
                    }
                    tbody {
                        @for (name, answers) in studies {
                            tr {
                                td { a href={ "#" (name) } { (name) } }
                                @for answer in answers { td { (said(answer)) } }
                            }
                        }
                    }
                } @else {
                    tbody {
                        @for answer in studies.iter().flat_map(|(_, answers)| answers) {
                            tr { td { (answer.question) } td { (said(answer)) } }
                        }
                    }
                }
            }
        }
        p .small.muted {
            "Bytes are the most held at once, by the ledger; differences are those in test accuracy from \
             the exact plan, in percentage points, paired by seed. The best is the plan with the highest mean accuracy: of \
             several that are alike it is the luckiest, so its difference flatters it. Only plans that \
             train for as long as the exact plan and start as it does are considered. The tests are \
             described below the table of plans; those of rivals are the same, of each rival against the \
             plan that is named."
        }
    }
}

fn said(answer: &Answer) -> Markup {
    html! { @if let Some(plan) = &answer.plan { b { (plan) } ": " } (answer.answer) }
}
