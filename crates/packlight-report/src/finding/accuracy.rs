//! Whether a plan keeps the accuracy of exact training, and whether that takes more epochs.
//!
//! Only final accuracies are compared: before the end, a stretched schedule is at another learning
//! rate, and the best of many epochs favours the longer run. A plan keeps the accuracy if its mean
//! over the seeds is not below the lowest seed of the exact plan. Overlapping ranges are not
//! enough: with two or three seeds they overlap too easily.

use super::{Finding, Verdict, open};
use crate::format::{count, list, percent};
use crate::plan::{PlanRow, SeedStats};

/// What a codec's runs say about the claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// The accuracy is kept with as many epochs as the exact plan has.
    Kept,
    /// It is kept with this number of epochs, which is larger.
    KeptWith(u64),
    /// It is not kept even with this larger number of epochs.
    NotKeptWith(u64),
    /// It is not kept, and no finished run has more epochs.
    Untested,
}

/// Checks the claim against the final accuracies of all plans; plans of the same codec are judged
/// together.
pub(super) fn finding(baseline: Option<&PlanRow>, others: &[&PlanRow]) -> Finding {
    let claim = "The accuracy of exact training is kept, at the cost of more epochs.";
    let Some((base, target)) = baseline.and_then(|b| Some((b, b.accuracy?))) else {
        return open(claim, "no run of the exact plan has finished");
    };
    let mut details = vec![format!("{}.", ends(base, target))];
    for plan in others {
        details.push(match plan.accuracy {
            Some(found) => {
                format!("{}: {}.", ends(plan, found), beside(found, &base.plan.name, target))
            }
            None => format!("{} has no finished run.", plan.plan.name),
        });
    }
    let mut outcomes: Vec<Outcome> = Vec::new();
    let mut judged: Vec<&str> = vec![&base.plan.spec];
    for plan in others {
        let codec = plan.plan.spec.as_str();
        if judged.contains(&codec) {
            continue;
        }
        judged.push(codec);
        let runs = others.iter().filter(|p| p.plan.spec == codec);
        if let Some(outcome) = outcome(runs.copied(), base.planned_epochs, target) {
            outcomes.push(outcome);
            details.push(sentence(&plan.plan.name, outcome, base.planned_epochs));
        }
    }
    let headline = headline(base, target, others);
    Finding { claim: claim.to_string(), verdict: verdict(&outcomes), headline, details }
}

/// `pool4 ends at 97.1 % after 18 epochs (n = 2, seeds from 97.0 % to 97.2 %)`.
fn ends(plan: &PlanRow, accuracy: SeedStats) -> String {
    let seeds = match accuracy.n {
        1 => String::new(),
        _ => format!(", seeds from {} to {}", percent(accuracy.low), percent(accuracy.high)),
    };
    format!(
        "{} ends at {} after {} (n = {}{seeds})",
        plan.plan.name,
        percent(accuracy.mean),
        count(plan.planned_epochs, "epoch"),
        accuracy.n,
    )
}

/// Whether this accuracy counts as the exact plan's.
fn kept(found: SeedStats, target: SeedStats) -> bool {
    found.mean >= target.low
}

/// `−0.7 points, within the seed range of none`.
fn beside(found: SeedStats, base: &str, target: SeedStats) -> String {
    let points = format!("{:+.1} points", (found.mean - target.mean) * 100.0).replace('-', "−");
    let place = match () {
        // One seed makes no range.
        () if found.n.min(target.n) < 2 => return points,
        () if found.mean > target.high => "above",
        () if kept(found, target) => "within",
        () => "below",
    };
    let reached = !kept(found, target) && found.high >= target.low;
    let reached = if reached { ", though its best seed reaches it" } else { "" };
    format!("{points}, {place} the seed range of {base}{reached}")
}

/// What the plans of one codec show; `None` while one of their runs has not finished.
fn outcome<'a>(
    plans: impl Iterator<Item = &'a PlanRow>,
    epochs: u64,
    target: SeedStats,
) -> Option<Outcome> {
    let mut complete: Vec<(u64, bool)> = Vec::new();
    for plan in plans {
        let found = plan.accuracy.filter(|_| plan.finished == plan.planned)?;
        complete.push((plan.planned_epochs, kept(found, target)));
    }
    let fewest = complete.iter().filter(|(_, kept)| *kept).map(|(epochs, _)| *epochs).min();
    let most = complete.iter().map(|(epochs, _)| *epochs).max()?;
    Some(match fewest {
        Some(fewest) if fewest > epochs => Outcome::KeptWith(fewest),
        Some(_) => Outcome::Kept,
        None if most > epochs => Outcome::NotKeptWith(most),
        None => Outcome::Untested,
    })
}

fn sentence(plan: &str, outcome: Outcome, epochs: u64) -> String {
    match outcome {
        Outcome::Kept => format!("{plan} keeps the accuracy without more epochs."),
        Outcome::KeptWith(more) => {
            format!("{plan} keeps the accuracy with {more} epochs instead of {epochs}.")
        }
        Outcome::NotKeptWith(more) => {
            format!(
                "{plan} does not keep the accuracy even with {more} epochs instead of {epochs}."
            )
        }
        Outcome::Untested => format!(
            "{plan} falls short, and no plan of the study gives it more epochs, so the claim is \
             untested."
        ),
    }
}

fn verdict(outcomes: &[Outcome]) -> Verdict {
    let any = |wanted: fn(&Outcome) -> bool| outcomes.iter().any(wanted);
    let longer = any(|o| matches!(o, Outcome::KeptWith(_)));
    let kept = longer || any(|o| *o == Outcome::Kept);
    let lost = any(|o| matches!(o, Outcome::NotKeptWith(_)));
    match (kept, lost) {
        (false, false) => Verdict::Open,
        (false, true) => Verdict::Denied,
        (true, false) if longer && !outcomes.contains(&Outcome::Untested) => Verdict::Confirmed,
        (true, _) => Verdict::Partly,
    }
}

/// All final accuracies; plans with another number of epochs come last.
pub(crate) fn headline(base: &PlanRow, target: SeedStats, others: &[&PlanRow]) -> String {
    let epochs = base.planned_epochs;
    let mut same = vec![format!("{} {}", base.plan.name, percent(target.mean))];
    let mut other = Vec::new();
    for (plan, found) in others.iter().filter_map(|p| Some((p, p.accuracy?))) {
        let said = format!("{} {}", plan.plan.name, percent(found.mean));
        if plan.planned_epochs == epochs {
            same.push(said);
        } else {
            other.push(format!("{said} after {}", plan.planned_epochs));
        }
    }
    let after = format!("Test accuracy after {}: {}", count(epochs, "epoch"), same.join(", "));
    if other.is_empty() { after } else { format!("{after}; {}", list(&other)) }
}
