//! Whether the error of early gradients foretells the accuracy at the end.

use packlight_figure::{Candidate, Cost, Family, Figure, tradeoff};

use super::{ROUNDING, Source};
use crate::bias_and_variance::early_error;
use crate::format::{count, list};
use crate::plan::{PlanRow, mean};
use crate::statistics::rank::{Correlation, ranks, spearman};
use crate::training::Training;
use crate::{Result, family};

/// A family whose plans' ranks are further off than this share of all ranks, on average, is named.
const FAR_OFF: f64 = 0.25;

const HOW_TO_READ: &str = " Across: the error of the whole gradient at the first probed step that lies \
    in the first tenth of the training, √(bias² + variance / 19). Bias counts whole, since every step \
    errs in the same direction; of the variance, momentum leaves about a nineteenth. Where passes were \
    not repeated, it is the error of one pass. Spearman's correlation compares the orders of error and \
    accuracy: −1 says that the plan with the smaller error always ended with the higher accuracy. Its \
    interval takes the plans for a sample of many. Plans whose gradients are exact are not drawn, nor \
    those that train for longer or from other weights.";

/// A plan's early error and final accuracy, seed by seed.
struct Course<'a> {
    plan: &'a PlanRow,
    family: Family,
    error: Vec<f64>,
    accuracy: Vec<f64>,
}

impl Course<'_> {
    fn means(&self) -> (f64, f64) {
        let of = |values: &[f64]| mean(values.iter().copied()).unwrap_or(f64::NAN);
        (of(&self.error), of(&self.accuracy))
    }
}

impl Source<'_> {
    /// Final accuracy against the early error of the gradient, one marker for each plan; `None` with too
    /// few plans for a correlation.
    pub(super) fn foretelling(&self) -> Result<Option<Figure>> {
        let courses: Vec<Course<'_>> = self
            .plans
            .iter()
            .filter(|plan| plan.training == Training::Plain)
            .filter_map(|plan| self.course(plan))
            .collect();
        let means: Vec<(f64, f64)> = courses.iter().map(Course::means).collect();
        let Some(found) = spearman(&means) else { return Ok(None) };
        let off = far_off(&courses, &means);
        let candidates: Vec<Candidate<'_>> = courses
            .iter()
            .map(|course| Candidate {
                name: &course.plan.plan.name,
                look: self.look(&course.plan.plan.name),
                family: course.family,
                cost: &course.error,
                accuracy: &course.accuracy,
            })
            .collect();
        let axis = Cost::Error("lasting error of an early whole gradient");
        let caption = self.caption("accuracy-and-gradient-error", title(&found, &off));
        let mut figure = tradeoff(&caption, axis, &candidates, false)?;
        figure.how_to_read += HOW_TO_READ;
        Ok(Some(figure))
    }

    /// What is known of a plan whose gradients are not exact; `None` if any seed lacks its early probe.
    fn course<'a>(&self, plan: &'a PlanRow) -> Option<Course<'a>> {
        let early = |seed: u64| {
            let run = self.study.of(&plan.plan.name).find(|run| run.manifest.seed == seed)?;
            early_error(run).map(|error| error.lasting())
        };
        let error: Vec<f64> = plan.runs.iter().map(|run| early(run.seed)).collect::<Option<_>>()?;
        let accuracy = plan.runs.iter().map(|run| run.accuracy).collect();
        let course = Course { plan, family: family::of_plan(&plan.plan.spec), error, accuracy };
        (course.means().0 > ROUNDING).then_some(course)
    }
}

fn title(found: &Correlation, off: &[&str]) -> String {
    let Correlation { value, low, high, n } = found;
    let plans = count(*n as u64, "plan");
    let numbers = format!("{value:.2} ({low:.2} to {high:.2}, {plans})").replace('-', "−");
    let said = match (*high < 0.0, *low > 0.0) {
        (true, _) => "An early gradient's error foretells the accuracy",
        (_, true) => "Accuracy is higher where an early gradient's error is larger",
        _ => "Whether an early gradient's error foretells the accuracy cannot be said",
    };
    let off = match off.is_empty() {
        true => String::new(),
        false => {
            let names: Vec<String> = off.iter().map(|name| (*name).to_owned()).collect();
            format!("; least for {}", list(&names))
        }
    };
    format!("{said}: rank correlation {numbers}{off}")
}

/// The families whose plans' places by accuracy are far from those by error.
fn far_off(courses: &[Course<'_>], means: &[(f64, f64)]) -> Vec<&'static str> {
    let by_error = ranks(&means.iter().map(|m| -m.0).collect::<Vec<_>>());
    let by_accuracy = ranks(&means.iter().map(|m| m.1).collect::<Vec<_>>());
    let mut families: Vec<Family> = courses.iter().map(|course| course.family).collect();
    families.sort_unstable();
    families.dedup();
    let distance = |family: &Family| {
        let own = courses.iter().zip(by_error.iter().zip(&by_accuracy));
        let own = own.filter(|(course, _)| course.family == *family);
        mean(own.map(|(_, (a, b))| (a - b).abs())).unwrap_or(0.0) / courses.len() as f64
    };
    families.iter().filter(|f| distance(f) > FAR_OFF).map(|f| f.name()).collect()
}
