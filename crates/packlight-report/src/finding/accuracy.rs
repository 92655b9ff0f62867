//! Whether a plan keeps the accuracy of exact training, and whether that takes more epochs.
//!
//! Only final accuracies are compared: before the end, a stretched schedule is at another learning
//! rate, and the best of many epochs favours the longer run. A plan keeps the accuracy if the paired
//! tests of [`crate::comparison`] show it to be equivalent or higher, and loses it if they show a loss;
//! otherwise nothing is said.

use super::{Finding, Verdict, open};
use crate::comparison::Outcome;
use crate::format::{count, list, percent};
use crate::plan::{PlanRow, SeedStats};

/// What a codec's runs say about the claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// The accuracy is kept with as many epochs as the exact plan has.
    Kept,
    /// It is kept with this number of epochs, which is larger.
    KeptWith(u64),
    /// It is lost even with this larger number of epochs.
    LostWith(u64),
    /// It is lost, and no plan has more epochs.
    Lost,
    /// The tests decide nothing.
    Undecided,
}

/// Checks the claim against the final accuracies of all plans; plans of the same codec are judged
/// together.
pub(super) fn finding(baseline: Option<&PlanRow>, others: &[&PlanRow]) -> Finding {
    let claim = "The accuracy of exact training is kept, at the cost of more epochs.";
    let Some((base, target)) = baseline.and_then(|b| Some((b, b.accuracy?))) else {
        return open(claim, "no run of the exact plan has finished");
    };
    let mut details = vec![format!("{}.", ends(base, target))];
    details.extend(others.iter().map(|plan| detail(plan)));
    let mut shown: Vec<Shown> = Vec::new();
    let mut judged: Vec<&str> = vec![&base.plan.spec];
    for plan in others {
        let codec = plan.plan.spec.as_str();
        if judged.contains(&codec) {
            continue;
        }
        judged.push(codec);
        let plans: Vec<&PlanRow> =
            others.iter().filter(|p| p.plan.spec == codec).copied().collect();
        let own = what_is_shown(&plans, base.planned_epochs);
        details.push(sentence(&plan.plan.name, own, base.planned_epochs));
        shown.push(own);
    }
    let headline = headline(base, target, others);
    Finding { claim: claim.to_string(), verdict: verdict(&shown), headline, details }
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

/// Where a plan ends, its paired difference and what that shows.
fn detail(plan: &PlanRow) -> String {
    match (plan.accuracy, &plan.comparison) {
        (None, _) => format!("{} has no finished run.", plan.plan.name),
        (Some(found), None) => format!("{}, with no seed of the exact plan's.", ends(plan, found)),
        (Some(found), Some(comparison)) => format!(
            "{}; difference from {} in points, paired: {}; {}.",
            ends(plan, found),
            comparison.with,
            comparison.said(),
            comparison.verdict(),
        ),
    }
}

/// What the plans of one codec show, where the exact plan has this number of `epochs`.
fn what_is_shown(plans: &[&PlanRow], epochs: u64) -> Shown {
    let outcome = |plan: &&PlanRow| plan.comparison.as_ref().map(|c| c.tested.outcome);
    let kept = |plan: &&&PlanRow| outcome(plan).is_some_and(Outcome::keeps);
    if let Some(fewest) = plans.iter().filter(kept).map(|p| p.planned_epochs).min() {
        return if fewest > epochs { Shown::KeptWith(fewest) } else { Shown::Kept };
    }
    let lost = |plan: &&PlanRow| outcome(plan) == Some(Outcome::Loss);
    match plans.iter().max_by_key(|p| p.planned_epochs) {
        Some(longest) if !lost(longest) => Shown::Undecided,
        Some(longest) if longest.planned_epochs > epochs => Shown::LostWith(longest.planned_epochs),
        _ => Shown::Lost,
    }
}

fn sentence(plan: &str, shown: Shown, epochs: u64) -> String {
    match shown {
        Shown::Kept => format!("{plan} keeps the accuracy without more epochs."),
        Shown::KeptWith(more) => {
            format!("{plan} keeps the accuracy with {more} epochs instead of {epochs}.")
        }
        Shown::LostWith(more) => {
            format!("{plan} loses accuracy even with {more} epochs instead of {epochs}.")
        }
        Shown::Lost => format!(
            "{plan} loses accuracy, and no plan of the study gives it more epochs, so the claim is \
             untested."
        ),
        Shown::Undecided => {
            format!("Whether {plan} keeps the accuracy, these runs cannot say.")
        }
    }
}

fn verdict(shown: &[Shown]) -> Verdict {
    let longer = shown.iter().any(|s| matches!(s, Shown::KeptWith(_)));
    let kept = |s: &Shown| matches!(s, Shown::Kept | Shown::KeptWith(_));
    match () {
        () if shown.is_empty() => Verdict::Open,
        () if longer && shown.iter().all(kept) => Verdict::Confirmed,
        () if shown.iter().any(kept) => Verdict::Partly,
        () if shown.iter().all(|s| matches!(s, Shown::LostWith(_))) => Verdict::Denied,
        () => Verdict::Open,
    }
}

/// All final accuracies; plans with another number of epochs or another start come last.
pub(crate) fn headline(base: &PlanRow, target: SeedStats, others: &[&PlanRow]) -> String {
    let epochs = base.planned_epochs;
    let mut same = vec![format!("{} {}", base.plan.name, percent(target.mean))];
    let mut other = Vec::new();
    for (plan, found) in others.iter().filter_map(|p| Some((p, p.accuracy?))) {
        let said = format!("{} {}", plan.plan.name, percent(found.mean));
        match plan.training.mark(plan.planned_epochs) {
            None => same.push(said),
            Some(mark) => other.push(format!("{said} after {mark}")),
        }
    }
    let after = format!("Test accuracy after {}: {}", count(epochs, "epoch"), same.join(", "));
    if other.is_empty() { after } else { format!("{after}; {}", list(&other)) }
}
