//! What a study comes to: whether the methods that it is about work, and which of their rivals end higher or
//! lower with no more bytes.
//!
//! A study is about the family of the first plan in its file that is not exact; the plans of other families are
//! the rivals. A method works if a plan of it holds fewer bytes than the exact one and is shown to keep the
//! accuracy ([`crate::comparison`]). The rivals are then tested against one of its plans, seed by seed and
//! corrected by Holm over them.

use packlight_figure::Family;

use crate::answers::{Candidate, beside, candidates};
use crate::comparison::{Comparison, Outcome, compared, margin};
use crate::family;
use crate::figures::Source;
use crate::format::list;
use crate::plan::PlanRow;

/// Bytes that differ by less than a hundredth count as the same.
const SAME: f64 = 1.01;

/// Whether the study's methods work, and what does better with no more bytes, in a few sentences; `None`
/// without a rival or anything to compare.
pub(crate) fn verdict(source: &Source<'_>) -> Option<String> {
    let of = |plan: &PlanRow| family::of_plan(&plan.plan.spec);
    let about = source.plans.iter().map(of).find(|family| *family != Family::Exact)?;
    let all = candidates(source);
    let (own, rivals): (Vec<_>, Vec<_>) = all.into_iter().partition(|c| of(c.plan) == about);
    if own.is_empty() || rivals.is_empty() {
        return None;
    }
    let smaller: Vec<_> = own.into_iter().filter(|own| own.held < 1.0).collect();
    let Some(best) = best(&smaller) else {
        return Some(format!("{}: saves no bytes here.", capital(about.name())));
    };
    let works = format!("{}: {}", capital(about.name()), works(&best, &smaller));
    let untested = [Outcome::Unfinished, Outcome::Shortened, Outcome::Guessing];
    if untested.contains(&best.comparison.tested.outcome) {
        return Some(works);
    }
    Some(format!("{works} {}", beaten(&best, &rivals, source.study.resolution())))
}

/// The plan with the fewest bytes that is shown to keep the accuracy, or else is not shown to lose any; or the
/// one that loses least. Plans come from the fewest bytes on.
fn best<'a>(plans: &[Candidate<'a>]) -> Option<Candidate<'a>> {
    let fewest = |wanted: fn(Outcome) -> bool| {
        plans.iter().find(|plan| wanted(plan.comparison.tested.outcome)).copied()
    };
    let difference = |plan: &Candidate<'_>| plan.comparison.difference.mean;
    fewest(Outcome::keeps)
        .or_else(|| fewest(|outcome| !matches!(outcome, Outcome::Loss | Outcome::LossAlone)))
        .or_else(|| plans.iter().copied().max_by(|a, b| difference(a).total_cmp(&difference(b))))
}

/// Whether one of these plans, of which `best` is the best, keeps the accuracy.
fn works(best: &Candidate<'_>, plans: &[Candidate<'_>]) -> String {
    let holds = format!("{} holds {}", best.plan.plan.name, beside(best.held, best.comparison));
    let outcome = |plan: &Candidate<'_>| plan.comparison.tested.outcome;
    if outcome(best).keeps() {
        return format!("works here. {holds}.");
    }
    let lose = plans.iter().filter(|plan| outcome(plan) == Outcome::Loss);
    let lose: Vec<String> = lose.map(|plan| plan.plan.plan.name.clone()).collect();
    if lose.len() == plans.len() {
        let least = if lose.len() > 1 { ", the one that loses least" } else { "" };
        return format!("does not work here. {holds}{least}.");
    }
    let lost = match lose.len() {
        0 => String::new(),
        n => format!("; {} {} accuracy", list(&lose), verb(n, "lose")),
    };
    format!("these runs cannot say whether it works here. {holds}{lost}.")
}

/// Which rivals end higher or lower than `best` with no more bytes.
fn beaten(best: &Candidate<'_>, rivals: &[Candidate<'_>], resolution: f64) -> String {
    let finished = |rival: &&Candidate<'_>| rival.comparison.tested.outcome != Outcome::Unfinished;
    let (within, beyond): (Vec<&Candidate<'_>>, Vec<&Candidate<'_>>) =
        rivals.iter().filter(finished).partition(|rival| rival.held <= SAME * best.held);
    let within: Vec<_> = within.iter().map(|rival| (rival.plan, best.plan)).collect();
    let compared = compared(&within, resolution);
    let ending = |wanted: Outcome| -> Vec<String> {
        let of = compared.iter().filter(|(_, comparison)| comparison.tested.outcome == wanted);
        of.map(|(plan, comparison)| named(plan, comparison)).collect()
    };
    let said = |outcome: Outcome| -> Option<String> {
        let plans = ending(outcome);
        let (names, end) = (list(&plans), verb(plans.len(), "end"));
        Some(match outcome {
            _ if plans.is_empty() => return None,
            Outcome::Gain => format!("{names} {end} higher"),
            Outcome::Equivalent => format!("{names} {end} within {}", margin()),
            Outcome::Loss => format!("{names} {end} lower"),
            Outcome::GainAlone => format!("{names} {end} higher if tested alone"),
            Outcome::LossAlone => format!("{names} {end} lower if tested alone"),
            _ => format!("of {names} these runs cannot say"),
        })
    };
    let outcomes = [
        Outcome::Gain,
        Outcome::GainAlone,
        Outcome::Equivalent,
        Outcome::Loss,
        Outcome::LossAlone,
        Outcome::Undecided,
    ];
    let clauses: Vec<String> = outcomes.into_iter().filter_map(said).collect();
    let name = &best.plan.plan.name;
    let within = match clauses.is_empty() {
        true => format!("No rival holds as few bytes as {name}."),
        false => format!("With no more bytes than {name}: {}.", clauses.join("; ")),
    };
    let more: Vec<String> = beyond.iter().map(|rival| rival.plan.plan.name.clone()).collect();
    match more.is_empty() {
        true => within,
        false => format!("{within} With more bytes: {}.", list(&more)),
    }
}

/// `q2 (+2.1 ± 0.5)`.
fn named(plan: &PlanRow, comparison: &Comparison) -> String {
    format!("{} ({})", plan.plan.name, comparison.interval())
}

/// A verb of so many.
fn verb(n: usize, verb: &str) -> String {
    format!("{verb}{}", if n == 1 { "s" } else { "" })
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
