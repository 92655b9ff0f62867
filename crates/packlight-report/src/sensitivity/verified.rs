//! Plans that were trained to check what is predicted of them.

use std::path::{Path, PathBuf};

use packlight_allocation::Measured;
use packlight_figure::{Family, significant};
use packlight_spec::layout::VERIFY;
use packlight_spec::{NamedPlan, PlanSpec};

use super::contest::trained;
use super::findings::ROUNDING;
use super::scores::Scores;
use crate::bias_and_variance::{GradientError, early_error};
use crate::family::of_plan;
use crate::plan::mean;
use crate::statistics::median::median;
use crate::statistics::rank;
use crate::study::Study;
use crate::{Error, Result};

/// The fewest plans of which anything is said.
const FEWEST: usize = 3;
/// Why nothing is said of a plan.
const NOT_COMPARED: &str = "no run compared a whole gradient early and finished";

/// The plans of all studies that verify an allocation of this one.
#[derive(Debug, Default)]
pub(crate) struct Verified {
    /// Those whose error was both predicted and measured, and is not rounding.
    pub(crate) plans: Vec<VerifiedPlan>,
    /// Those whose error was measured only, each with it and with the reason.
    unpredicted: Vec<String>,
    /// The others, each with the reason.
    left_out: Vec<String>,
}

/// A plan with its errors of the whole gradient, relative to its norm.
#[derive(Debug)]
pub(crate) struct VerifiedPlan {
    pub(crate) name: String,
    pub(crate) family: Family,
    pub(crate) predicted: f64,
    /// That of each finished run, early in its training.
    pub(crate) measured: Vec<f64>,
}

impl VerifiedPlan {
    fn mean(&self) -> f64 {
        mean(self.measured.iter().copied()).unwrap_or(f64::NAN)
    }

    /// How many times the predicted error the measured one is.
    fn ratio(&self) -> f64 {
        self.mean() / self.predicted
    }
}

/// What is predicted early in training.
struct Predictions {
    /// Of what averaging over steps leaves.
    lasting: Measured,
    /// Of one pass.
    one_pass: Measured,
}

impl Verified {
    /// What is predicted and measured of the plans of these studies. A plan that several of them trained is
    /// that of the first.
    ///
    /// # Errors
    /// Returns an error if the scores cannot be averaged.
    pub(crate) fn of(verifying: &[Verifying], scores: &Scores) -> Result<Self> {
        let mut verified = Self::default();
        if verifying.is_empty() {
            return Ok(verified);
        }
        let [lasting, one_pass] =
            [false, true].map(|one| Measured::of(&scores.log, &scores.early(one)));
        let predictions = Predictions { lasting: lasting?, one_pass: one_pass? };
        let mut known: Vec<NamedPlan> = Vec::new();
        for study in verifying.iter().filter_map(|of| of.study.as_ref()) {
            for plan in &study.plans {
                if known.iter().any(|other| other.spec == plan.spec) {
                    continue;
                }
                let name = match known.iter().any(|other| other.name == plan.name) {
                    true => format!("{} of {}", plan.name, study.name),
                    false => plan.name.clone(),
                };
                known.push(plan.clone());
                let Some((measured, predicted)) = errors(study, plan, &predictions) else {
                    verified.left_out.push(format!("{name} ({NOT_COMPARED})"));
                    continue;
                };
                let family = of_plan(&plan.spec);
                match predicted {
                    Ok(predicted) => {
                        verified.plans.push(VerifiedPlan { name, family, predicted, measured });
                    }
                    Err(reason) => {
                        let error = mean(measured.iter().copied()).map_or(f64::NAN, |mean| mean);
                        let error = significant(error);
                        verified.unpredicted.push(format!("{name}, measured {error} ({reason})"));
                    }
                }
            }
        }
        // The logarithm of what is exact says nothing.
        verified.plans.retain(|plan| plan.predicted > ROUNDING && plan.mean() > ROUNDING);
        Ok(verified)
    }

    fn enough(&self) -> bool {
        self.plans.len() >= FEWEST
    }

    /// The title of a figure of them; `None` if they are too few.
    pub(crate) fn title(&self) -> Option<String> {
        let title = "Predicted error of a plan against that of its training".to_owned();
        self.enough().then(|| match self.correlation() {
            Some(said) => format!("{title}: rank correlation {said}"),
            None => title,
        })
    }

    /// The rank correlation with its interval, such as `0.94 (0.53 to 0.99, 6 plans)`.
    fn correlation(&self) -> Option<String> {
        let errors: Vec<(f64, f64)> =
            self.plans.iter().map(|plan| (plan.predicted, plan.mean())).collect();
        rank::in_words(&errors, "plans")
    }

    /// Correlation and calibration in sentences; `None` if the plans are too few.
    pub(crate) fn finding(&self) -> Option<String> {
        if !self.enough() {
            return None;
        }
        let order = self.correlation().map_or_else(String::new, |said| {
            format!(
                "Predicted and measured errors of whole plans have a rank correlation of {said}. "
            )
        });
        let all = calibration(&self.plans.iter().collect::<Vec<_>>());
        let families = self.by_family();
        let listed = |what: &str, plans: &[String]| match plans.is_empty() {
            true => String::new(),
            false => format!(" {what}: {}.", plans.join("; ")),
        };
        let unpredicted = listed("Not predicted", &self.unpredicted);
        let left_out = listed("Left out", &self.left_out);
        Some(format!(
            "{order}The measured error is {all} times the predicted one{families}.{unpredicted}{left_out}"
        ))
    }

    /// The calibration of each family, if there are several.
    fn by_family(&self) -> String {
        let mut families: Vec<Family> = self.plans.iter().map(|plan| plan.family).collect();
        families.sort_unstable();
        families.dedup();
        if families.len() < 2 {
            return String::new();
        }
        let of = |family: &Family| {
            let own = self.plans.iter().filter(|plan| plan.family == *family);
            format!("; {} {}", family.name(), calibration(&own.collect::<Vec<_>>()))
        };
        families.iter().map(of).collect()
    }
}

/// The median of measured by predicted errors and its range.
fn calibration(plans: &[&VerifiedPlan]) -> String {
    let ratios = || plans.iter().map(|plan| plan.ratio());
    let middle = median(ratios()).map_or(f64::NAN, |median| median.value);
    let (low, high) = (ratios().fold(f64::INFINITY, f64::min), ratios().fold(0.0, f64::max));
    let [middle, low, high] = [middle, low, high].map(significant);
    match plans.len() {
        1 => format!("{middle} (n = 1)"),
        n => format!("{middle} (median; {low} to {high}, n = {n})"),
    }
}

/// The measured errors of a plan's runs, and the predicted one or why there is none; `None` if nothing was
/// measured.
fn errors(
    study: &Study,
    plan: &NamedPlan,
    predictions: &Predictions,
) -> Option<(Vec<f64>, std::result::Result<f64, String>)> {
    let errors: Vec<GradientError> = study.of(&plan.name).filter_map(early_error).collect();
    let repeated = errors.iter().all(|error| error.drawn.is_some());
    let (measured, of): (_, fn(&GradientError) -> f64) = match repeated {
        true => (&predictions.lasting, GradientError::lasting),
        false => (&predictions.one_pass, |error| error.error),
    };
    let predicted = plan.spec.parse().and_then(|spec: PlanSpec| {
        let allocation = measured.of_plan(&spec).map_err(|e| e.to_string())?;
        Ok(allocation.error.sqrt())
    });
    (!errors.is_empty()).then(|| (errors.iter().map(of).collect(), predicted))
}

/// A study that verifies a plan.
pub(super) struct Verifying {
    pub(super) folder: PathBuf,
    /// None before its first run.
    pub(super) study: Option<Study>,
}

/// The studies within `folder` that verify a plan, by name.
///
/// # Errors
/// Returns an error if the folder or one of these studies cannot be read.
pub(super) fn studies(folder: &Path) -> Result<Vec<Verifying>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
        let path = entry.map_err(|e| Error::io(folder, e))?.path();
        let named = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(VERIFY));
        if named && path.is_dir() {
            found.push(path);
        }
    }
    found.sort();
    let read = |folder: PathBuf| Ok(Verifying { study: trained(&folder)?, folder });
    found.into_iter().map(read).collect()
}
