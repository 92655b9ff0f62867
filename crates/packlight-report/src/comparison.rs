//! A plan's accuracy beside that of the plan that it is compared with, and what that shows.
//!
//! Two questions are asked of each plan. Does its accuracy differ? A two-sided paired t-test says so.
//! Is it the same within [`MARGIN`]? Two one-sided paired t-tests say so (Schuirmann, Journal of
//! Pharmacokinetics and Biopharmaceutics 15, 1987). Either question is asked of all plans of a page, so
//! the p-values of each are corrected by Holm: a page is wrong about any plan's difference with a
//! probability of at most 5 %, and about any plan's equivalence likewise. Where neither test decides,
//! nothing is claimed, and what the uncorrected test of a difference shows is named as such.

use crate::format::{count, points};
use crate::plan::{PlanRow, SeedStats};
use crate::statistics::holm::holm;
use crate::statistics::paired::{FEWEST, Paired};
use crate::statistics::power;
use crate::training::{Training, row};

/// Accuracies that differ by less than this, one percentage point, count as the same. It is fixed for
/// all studies: one point is what the methods' papers call no loss, and about the standard error of
/// an accuracy over a thousand test samples.
pub(crate) const MARGIN: f64 = 0.01;

/// The probability with which a page may claim something false about any of its plans.
pub(crate) const LEVEL: f64 = 0.05;

/// The probability with which the stated number of seeds would decide.
pub(crate) const POWER: f64 = 0.8;

/// What the tests say about a plan's accuracy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The same within [`MARGIN`].
    Equivalent,
    /// Lower, and not shown to be the same within the margin.
    Loss,
    /// Higher, and not shown to be the same within the margin.
    Gain,
    /// Lower by the plan's own interval; as one of so many plans it is not shown.
    LossAlone,
    /// Higher by the plan's own interval; as one of so many plans it is not shown.
    GainAlone,
    /// Neither test decides.
    Undecided,
    /// Not tested, since some runs of either plan have not finished: those that have would be a
    /// choice.
    Unfinished,
    /// Not tested, since the runs were shortened by `--scale`.
    Shortened,
    /// Neither plan differs, but the one that it is compared with only guesses: there is no accuracy to keep.
    Guessing,
}

/// What the accuracies of a study can be.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Accuracies {
    /// They are multiples of this.
    pub(crate) resolution: f64,
    /// That of always answering alike, if it is known.
    pub(crate) guessed: Option<f64>,
}

impl Accuracies {
    /// Whether a plan's mean accuracy is at most [`MARGIN`] above that of always answering alike. The mean
    /// decides, not the end of its interval, which two seeds put anywhere.
    pub(crate) fn only_guessed(self, found: SeedStats) -> bool {
        self.guessed.is_some_and(|guessed| found.mean <= guessed + MARGIN)
    }
}

impl Outcome {
    /// Whether the accuracy is shown to be kept.
    pub(crate) fn keeps(self) -> bool {
        matches!(self, Outcome::Equivalent | Outcome::Gain)
    }
}

/// A plan's accuracy beside another plan's.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Comparison {
    /// The label of the plan that it is compared with.
    pub(crate) with: String,
    pub(crate) difference: Paired,
    pub(crate) tested: Tested,
    /// How many plans of the page are tested.
    pub(crate) plans: usize,
}

/// Both tests of one plan, corrected by Holm over the plans of a page.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tested {
    /// The p-values; `None` without a test.
    pub(crate) difference_p: Option<f64>,
    pub(crate) equivalence_p: Option<f64>,
    pub(crate) outcome: Outcome,
}

impl Comparison {
    /// `−0.7 ± 0.4 (n = 5)` in percentage points, or `−0.7 (n = 2: no interval)`.
    pub(crate) fn said(&self) -> String {
        let without = if self.difference.half_interval().is_none() { ": no interval" } else { "" };
        format!("{} (n = {}{without})", self.interval(), self.difference.n)
    }

    /// `−0.7 ± 0.4` in percentage points, or `−0.7` with too few seeds.
    pub(crate) fn interval(&self) -> String {
        let mean = points(self.difference.mean);
        match self.difference.half_interval() {
            Some(half) => format!("{mean} ± {:.1}", 100.0 * half),
            None => mean,
        }
    }

    /// What follows from it, in a few words.
    pub(crate) fn verdict(&self) -> String {
        let n = self.difference.n;
        match self.tested.outcome {
            Outcome::Equivalent => format!("equivalent within {}", margin()),
            Outcome::Loss => "loss".to_owned(),
            Outcome::Gain => "gain".to_owned(),
            Outcome::LossAlone => format!("a loss{}", self.not_among()),
            Outcome::GainAlone => format!("a gain{}", self.not_among()),
            Outcome::Undecided => format!("cannot say with n = {n}{}", self.more()),
            Outcome::Unfinished => "not judged before all runs finish".to_owned(),
            Outcome::Shortened => "not judged, since --scale shortened the runs".to_owned(),
            Outcome::Guessing => format!("not judged, since {} only guesses", self.with),
        }
    }

    /// The number of seeds that would decide, if their differences spread as those of this study do.
    pub(crate) fn seeds(&self) -> Option<u64> {
        power::seeds(self.difference.sd, MARGIN, LEVEL / self.plans.max(1) as f64, POWER)
    }

    fn not_among(&self) -> String {
        format!(" if tested alone, not among {}", count(self.plans as u64, "plan"))
    }

    fn more(&self) -> String {
        match self.seeds() {
            _ if self.difference.sd.is_nan() => format!("; {FEWEST} or more may"),
            Some(seeds) => format!("; {} would", count(seeds.max(self.difference.n + 1), "seed")),
            None => format!("; {} would not do either", power::MOST),
        }
    }
}

/// [`MARGIN`] in words.
pub(crate) fn margin() -> String {
    let points = 100.0 * MARGIN;
    format!("{points} point{}", if points == 1.0 { "" } else { "s" })
}

/// Tests the differences of all plans of a page.
pub(crate) fn judge(differences: &[Paired]) -> Vec<Tested> {
    let corrected = |p: &dyn Fn(&Paired) -> Option<f64>| {
        let found: Vec<Option<f64>> = differences.iter().map(p).collect();
        let mut adjusted = holm(&found.iter().flatten().copied().collect::<Vec<_>>()).into_iter();
        found.iter().map(|p| p.and_then(|_| adjusted.next())).collect::<Vec<_>>()
    };
    let difference = corrected(&Paired::difference_p);
    let equivalence = corrected(&|d| d.equivalence_p(MARGIN));
    let tested = differences.iter().zip(difference).zip(equivalence);
    tested
        .map(|((d, difference_p), equivalence_p)| {
            let below = |p: Option<f64>| p.is_some_and(|p| p <= LEVEL);
            let outcome = match (below(equivalence_p), below(difference_p)) {
                (true, _) => Outcome::Equivalent,
                (_, true) if d.mean < 0.0 => Outcome::Loss,
                (_, true) => Outcome::Gain,
                _ if !below(d.difference_p()) => Outcome::Undecided,
                _ if d.mean < 0.0 => Outcome::LossAlone,
                _ => Outcome::GainAlone,
            };
            Tested { difference_p, equivalence_p, outcome }
        })
        .collect()
}

/// A plan and its counterpart.
struct Pair {
    /// The label of the counterpart.
    with: String,
    difference: Paired,
    /// Whether all runs of both have finished.
    complete: bool,
    /// Whether the counterpart only guesses.
    guessing: bool,
}

/// Compares each plan with its counterpart. Unless the runs are `whole`, nothing is tested.
pub(crate) fn compare(
    plans: &mut [PlanRow],
    baseline: Option<&str>,
    accuracies: Accuracies,
    whole: bool,
) {
    let pair = |plan: &PlanRow| {
        let other = counterpart(plans, plan, baseline)?;
        let resolution = accuracies.resolution;
        Some(Pair {
            with: other.label(),
            difference: Paired::new(&plan.accuracies(), &other.accuracies(), resolution)?,
            complete: [plan, other].iter().all(|p| p.finished == p.planned),
            guessing: other.accuracy.is_some_and(|found| accuracies.only_guessed(found)),
        })
    };
    let pairs: Vec<Option<Pair>> = plans.iter().map(pair).collect();
    let testable = pairs.iter().flatten().filter(|pair| pair.complete && whole);
    let differences: Vec<Paired> = testable.map(|pair| pair.difference).collect();
    let tests = differences.iter().filter(|d| d.difference_p().is_some()).count();
    let mut tested = judge(&differences).into_iter();
    let untested = |outcome| Tested { difference_p: None, equivalence_p: None, outcome };
    for (plan, pair) in plans.iter_mut().zip(pairs) {
        plan.comparison = pair.map(|Pair { with, difference, complete, guessing }| {
            let mut tested = match () {
                () if !whole => untested(Outcome::Shortened),
                () if !complete => untested(Outcome::Unfinished),
                () => tested.next().unwrap_or(untested(Outcome::Undecided)),
            };
            if guessing && matches!(tested.outcome, Outcome::Equivalent | Outcome::Undecided) {
                tested.outcome = Outcome::Guessing;
            }
            Comparison { with, difference, tested, plans: tests.max(1) }
        });
    }
}

/// Compares each plan with the other one of its pair, whose runs have all finished like its own; all are tested
/// together. Accuracies are multiples of `resolution`.
pub(crate) fn compared<'a>(
    pairs: &[(&'a PlanRow, &'a PlanRow)],
    resolution: f64,
) -> Vec<(&'a PlanRow, Comparison)> {
    let difference = |(plan, other): &(&'a PlanRow, &'a PlanRow)| {
        let difference = Paired::new(&plan.accuracies(), &other.accuracies(), resolution)?;
        Some((*plan, other.label(), difference))
    };
    let found: Vec<_> = pairs.iter().filter_map(difference).collect();
    let tested = judge(&found.iter().map(|(.., difference)| *difference).collect::<Vec<_>>());
    let plans = found.len();
    let comparison =
        |((plan, with, difference), tested)| (plan, Comparison { with, difference, tested, plans });
    found.into_iter().zip(tested).map(comparison).collect()
}

/// The plan that `plan` is compared with: the one whose weights it starts from; for another number of
/// epochs, the exact plan with as many, where there is one; otherwise the exact plan.
fn counterpart<'a>(
    plans: &'a [PlanRow],
    plan: &PlanRow,
    baseline: Option<&str>,
) -> Option<&'a PlanRow> {
    let base = baseline.and_then(|name| row(plans, name));
    let other = match (&plan.plan.from, plan.training) {
        (Some(from), _) => row(plans, from),
        (None, Training::OtherLength) => plans
            .iter()
            .filter(|p| p.training == Training::OtherLength && p.plan.name != plan.plan.name)
            .find(|p| {
                Some(&p.plan.spec) == base.map(|b| &b.plan.spec)
                    && p.planned_epochs == plan.planned_epochs
            })
            .or(base),
        (None, _) => base,
    };
    other.filter(|other| other.plan.name != plan.plan.name)
}

#[cfg(test)]
mod tests;
