//! A plan that was allocated, beside the others that follow from the scores: by what they do to whole
//! gradients, in pairs on the same batches, and by the accuracies that they end with, in pairs by seed.

use std::path::Path;

use packlight_allocation::{Estimate, Interval, PlanErrors, Squared};
use packlight_figure::{binary, significant};
use packlight_record::{PlanOrigin, PlanRecord, Record, read_log};
use packlight_spec::layout::ERRORS;
use serde::Serialize;

use crate::comparison::MARGIN;
use crate::format::{count, points};
use crate::probed::MOST_STEPS;
use crate::statistics::paired::Paired;
use crate::study::{State, Study};
use crate::{Error, Result};

/// A plan that was verified, and its rivals. Errors are those of the gradient of all parameters, relative
/// to its norm, in real passes with all codecs of a plan together, over batches that no score was measured on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Contest {
    /// The plan's name.
    pub plan: String,
    /// The most bytes that each plan was to have.
    pub budget: u64,
    /// Those of this plan, counted as the budget is.
    pub bytes: u64,
    /// The error that lasts: the root of the squared bias and of a nineteenth of the variance.
    pub error: Estimate,
    /// The error of a single pass.
    pub one_pass_error: Estimate,
    /// Of the plans with one codec at all layers that fit the budget, the one beside which this plan errs most;
    /// `None` if there are none.
    pub best_uniform: Option<String>,
    /// All others.
    pub rivals: Vec<Rival>,
}

/// A plan of at most as many bytes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rival {
    /// Its name.
    pub plan: String,
    /// How it was made.
    pub origin: PlanOrigin,
    /// Its bytes.
    pub bytes: u64,
    /// The error that lasts.
    pub error: Estimate,
    /// The error of a single pass.
    pub one_pass_error: Estimate,
    /// How many times its error that lasts that of the verified plan is, in the geometric mean over the
    /// batches; `None` if its own is 0.
    pub ratio: Option<Estimate>,
    /// The same of the errors of a single pass.
    pub one_pass_ratio: Option<Estimate>,
    /// How much higher the verified plan's final test accuracy is; `None` before both have finished with
    /// any seed.
    pub accuracy: Option<AccuracyDifference>,
}

/// A difference of accuracies in pairs by seed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct AccuracyDifference {
    /// The number of seeds.
    pub n: u64,
    /// The mean, as a fraction.
    pub mean: f64,
    /// Half the width of its 95 % interval by Student's t; `None` with fewer than three seeds.
    pub half_interval: Option<f64>,
}

impl Contest {
    /// Reads what was measured in the folder of a study that verifies a plan; `None` before that.
    ///
    /// # Errors
    /// Returns an error if the log or the study cannot be read.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        Self::of(folder, trained(folder)?.as_ref())
    }

    /// The same of a study whose runs are read, if there are any.
    pub(super) fn of(folder: &Path, study: Option<&Study>) -> Result<Option<Self>> {
        let source = |source| Error::Scores { study: folder.to_path_buf(), source };
        let records = read_log::<PlanRecord>(&folder.join(ERRORS)).map_err(source)?.values;
        let errors = PlanErrors::new(&records);
        let Some((own, others)) = errors.plans().split_first() else { return Ok(None) };
        let both = |plan| {
            let lasting = errors.error(plan, Squared::Lasting)?;
            Some((lasting, errors.error(plan, Squared::OnePass)?))
        };
        let Some((error, one_pass_error)) = both(own) else { return Ok(None) };
        let rival = |plan| {
            let (error, one_pass_error) = both(plan)?;
            Some(Rival {
                plan: plan.plan.clone(),
                origin: plan.origin,
                bytes: plan.bytes,
                error,
                one_pass_error,
                ratio: errors.ratio(own, plan, Squared::Lasting),
                one_pass_ratio: errors.ratio(own, plan, Squared::OnePass),
                accuracy: study.and_then(|of| difference(of, &own.plan, &plan.plan)),
            })
        };
        let rivals: Vec<Rival> = others.iter().filter_map(rival).collect();
        let uniform = rivals.iter().filter(|rival| rival.origin == PlanOrigin::Uniform);
        let beside = |rival: &&Rival| rival.ratio.map_or(f64::INFINITY, |ratio| ratio.mean);
        let best = uniform.max_by(|a, b| beside(a).total_cmp(&beside(b)));
        Ok(Some(Self {
            plan: own.plan.clone(),
            budget: own.budget,
            bytes: own.bytes,
            error,
            one_pass_error,
            best_uniform: best.map(|best| best.plan.clone()),
            rivals,
        }))
    }

    /// The rival that is [`Contest::best_uniform`].
    fn best(&self) -> Option<&Rival> {
        let best = self.best_uniform.as_ref()?;
        self.rivals.iter().find(|rival| rival.plan == *best)
    }

    /// Whether it beats the best plan of one codec, in a sentence or two.
    pub fn in_words(&self) -> String {
        let own = format!("`{}` ({})", self.plan, binary(self.bytes as f64));
        let Some(best) = self.best() else {
            return format!(
                "No measured codec at all layers alike keeps at most {}, the budget of {own}.",
                binary(self.budget as f64)
            );
        };
        let other = format!("`{}` ({})", best.plan, binary(best.bytes as f64));
        let Some(ratio) = &best.ratio else {
            return format!("{own} is compared with {other}, which has no error at all.");
        };
        let verdict = match outcome(ratio) {
            Outcome::Beats => "beats",
            Outcome::Loses => "loses to",
            Outcome::Undecided => "cannot be told from",
        };
        let one_pass = best.one_pass_ratio.as_ref().map_or_else(String::new, |ratio| {
            format!("; of a single pass, {}", with_interval(ratio))
        });
        let accuracy = best.accuracy.as_ref().map_or_else(String::new, |accuracy| {
            format!(" Trained, it ends {}.", accuracy.in_words())
        });
        format!(
            "{own} {verdict} the best plan of one codec that fits the same budget, {other}: the error of its \
             whole gradient is {} times as large, in the geometric mean over {} that it was not chosen \
             by{one_pass}.{accuracy}",
            with_interval(ratio),
            match ratio.n {
                1 => "1 batch".to_owned(),
                n => format!("{n} batches"),
            },
        )
    }
}

/// The study in `folder` with its runs; `None` before the first one.
pub(super) fn trained(folder: &Path) -> Result<Option<Study>> {
    match Study::read(folder, MOST_STEPS) {
        Err(Error::NoRuns { .. }) => Ok(None),
        study => study.map(Some),
    }
}

/// What the interval of a ratio of errors says.
enum Outcome {
    Beats,
    Loses,
    Undecided,
}

fn outcome(ratio: &Estimate) -> Outcome {
    match ratio.interval {
        Some(interval) if interval.high < 1.0 => Outcome::Beats,
        Some(interval) if interval.low > 1.0 => Outcome::Loses,
        _ => Outcome::Undecided,
    }
}

/// A ratio with its interval, if it has one.
pub(crate) fn with_interval(ratio: &Estimate) -> String {
    let mean = significant(ratio.mean);
    match ratio.interval {
        None => format!("{mean} (no interval)"),
        Some(Interval { low, high }) => {
            format!("{mean} (95 % interval {} to {})", significant(low), significant(high))
        }
    }
}

impl AccuracyDifference {
    /// The difference in percentage points, such as `+0.4 ± 0.9 (n = 3)`.
    pub(crate) fn said(&self) -> String {
        let (mean, n) = (points(self.mean), self.n);
        match self.half_interval {
            Some(half) => format!("{mean} ± {:.1} (n = {n})", 100.0 * half),
            None => format!("{mean} (n = {n}: no interval)"),
        }
    }

    /// Where the verified plan ends, and what that shows.
    fn in_words(&self) -> String {
        let verdict = match self.half_interval {
            Some(half) if self.mean - half > 0.0 => "higher",
            Some(half) if self.mean + half < 0.0 => "lower",
            Some(half) if self.mean - half > -MARGIN => "not lower by a point",
            Some(_) => "no difference shows",
            None => "too few seeds to judge",
        };
        let seeds = count(self.n, "seed");
        let half =
            self.half_interval.map_or_else(String::new, |half| format!(" ± {:.1}", 100.0 * half));
        format!("{}{half} points from it over {seeds} ({verdict})", points(self.mean))
    }
}

/// How much higher the final accuracies of a plan are than those of another one.
fn difference(study: &Study, plan: &str, other: &str) -> Option<AccuracyDifference> {
    let [own, other] = [plan, other].map(|plan| accuracies(study, plan));
    let paired = Paired::new(&own, &other, study.resolution())?;
    let half_interval = paired.half_interval();
    Some(AccuracyDifference { n: paired.n, mean: paired.mean, half_interval })
}

/// The test accuracy at the end of each finished run of a plan, by seed.
fn accuracies(study: &Study, plan: &str) -> Vec<(u64, f64)> {
    let finished = study.of(plan).filter(|run| run.state == State::Finished);
    let last = |run: &crate::study::Run| {
        let accuracy = run.records.iter().rev().find_map(|record| match record {
            Record::Epoch { test_accuracy, .. } => Some(*test_accuracy),
            _ => None,
        });
        Some((run.manifest.seed, accuracy?))
    };
    finished.filter_map(last).collect()
}
