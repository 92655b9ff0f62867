//! Error, bias and variance of whole gradients over training.

use std::collections::HashMap;

use packlight_figure::{Figure, Line, Panel, curves};

use super::{ROUNDING, Source, TOGETHER};
use crate::Result;
use crate::bias_and_variance::GradientError;
use crate::format::thousandths;
use crate::plan::{PlanRow, mean};

const HOW_TO_READ: &str = " Two whole backward passes over the same batch are compared, one exact (g) \
    and one as the plan has it (h), over all parameters together. Left: the error |h − g| / |g| of a \
    single pass. Where passes were repeated: the bias |mean(h) − g| / |g|, which further steps do not \
    average out, less what chance adds to so few draws; and the variance E|h − mean(h)|² / |g|², \
    which they do. An error of 1 is as large as the gradient itself. Nothing is drawn where a value \
    is 0, as the axes are logarithmic, and no plan that differs by rounding alone. Grey lines are the \
    plans of the whole study with the lowest error, for comparison.";

/// A panel's label, and its values for each seed.
type Quantity = (&'static str, fn(&Course) -> &Vec<Vec<f64>>);

const QUANTITIES: [Quantity; 3] = [
    ("error of a pass", |course| &course.error),
    ("bias", |course| &course.bias),
    ("variance", |course| &course.variance),
];

/// The gradient errors of a plan, by steps.
struct Course {
    plan: String,
    steps: Vec<f64>,
    /// For each seed its value at each step.
    error: Vec<Vec<f64>>,
    bias: Vec<Vec<f64>>,
    variance: Vec<Vec<f64>>,
}

impl Course {
    fn new(plan: String, errors: &[GradientError]) -> Self {
        let mut steps: Vec<u64> = errors.iter().map(|e| e.step).collect();
        steps.sort_unstable();
        steps.dedup();
        let mut seeds: Vec<u64> = errors.iter().map(|e| e.seed).collect();
        seeds.dedup(); // the errors are in the order of seeds
        let places: HashMap<(u64, u64), &GradientError> =
            errors.iter().map(|e| ((e.seed, e.step), e)).collect();
        let values = |of: fn(&GradientError) -> Option<f64>| -> Vec<Vec<f64>> {
            let at = |seed: u64, step: u64| {
                places.get(&(seed, step)).and_then(|e| of(e)).unwrap_or(f64::NAN)
            };
            seeds.iter().map(|seed| steps.iter().map(|step| at(*seed, *step)).collect()).collect()
        };
        Self {
            plan,
            error: values(|e| Some(e.error)),
            bias: values(|e| Some(e.drawn?.bias)),
            variance: values(|e| Some(e.drawn?.variance)),
            steps: steps.iter().map(|step| *step as f64).collect(),
        }
    }

    /// The mean error over steps and seeds.
    fn mean(&self) -> f64 {
        mean(self.error.iter().flatten().copied()).unwrap_or(f64::INFINITY)
    }
}

impl Source<'_> {
    /// One line for each plan, and for those of the study with the lowest error.
    pub(super) fn gradient_error(
        &self,
        number: &str,
        plans: &[&PlanRow],
    ) -> Result<Option<Figure>> {
        let course = |plan: &PlanRow| {
            let runs = self.study.of(&plan.plan.name);
            let errors: Vec<GradientError> = runs.flat_map(|run| run.errors.clone()).collect();
            Course::new(plan.plan.name.clone(), &errors)
        };
        let lossy = |course: &Course| course.mean() > ROUNDING;
        let courses: Vec<Course> = plans.iter().map(|p| course(p)).filter(lossy).collect();
        let order = |a: &&Course, b: &&Course| a.mean().total_cmp(&b.mean());
        let (Some(least), Some(most)) =
            (courses.iter().min_by(order), courses.iter().max_by(order))
        else {
            return Ok(None);
        };
        let title = format!(
            "Error of whole gradients, mean over the probed steps: from {} ({}) to {} ({})",
            thousandths(least.mean()),
            least.plan,
            thousandths(most.mean()),
            most.plan,
        );
        let inside = |p: &&PlanRow| plans.iter().any(|other| other.plan.name == p.plan.name);
        let altering = self.plans.iter().filter(|p| p.changed().next().is_some());
        let mut best: Vec<Course> =
            altering.filter(|p| !inside(p)).map(course).filter(lossy).collect();
        best.sort_by(|a, b| a.mean().total_cmp(&b.mean()));
        best.truncate(TOGETHER.saturating_sub(courses.len()).min(2));

        let mut panels = Vec::new();
        for (label, of) in QUANTITIES {
            let mut panel = Panel::new("training step", label).log();
            for course in &courses {
                let line = Line::new(&course.plan, &course.steps, of(course));
                panel = panel.line(line.look(self.look(&course.plan)));
            }
            for course in &best {
                let line = Line::new(&course.plan, &course.steps, of(course));
                panel = panel.line(line.look(self.look(&course.plan)).aside());
            }
            let drawn = courses.iter().flat_map(|c| of(c).iter().flatten()).any(|v| *v > 0.0);
            panels.extend(drawn.then_some(panel));
        }
        if panels.is_empty() {
            return Ok(None);
        }
        let mut figure = curves(&self.caption(format!("gradient-error{number}"), title), &panels)?;
        figure.how_to_read += HOW_TO_READ;
        Ok(Some(figure))
    }
}
