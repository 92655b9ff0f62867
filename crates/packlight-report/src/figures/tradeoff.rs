//! Accuracy against its costs, memory and time.

use packlight_figure::{Candidate, Cost, Figure, pareto_front, tradeoff};

use super::Source;
use crate::format::{list, percent};
use crate::plan::{PlanRow, RunPoint, mean};
use crate::training::row;
use crate::{Result, family};

/// A cost that accuracy is plotted against.
struct Against {
    id: &'static str,
    /// Its name in a title.
    said: &'static str,
    cost: Cost<'static>,
    /// The cost of a finished run of a plan.
    of: fn(&PlanRow, &RunPoint) -> Option<f64>,
}

const PEAK: Against = Against {
    id: "accuracy-and-memory",
    said: "peak memory",
    cost: Cost::Bytes("peak of a training step, with codec state, counting allocator"),
    of: |_, run| run.peak_allocated,
};

const KEPT: Against = Against {
    id: "accuracy-and-kept-bytes",
    said: "kept bytes",
    cost: Cost::Bytes("most bytes held at once, with codec state, ledger"),
    of: |_, run| run.held,
};

/// Plans that start from trained weights, and those whose weights they start from.
const CONTINUED: Against = Against {
    id: "accuracy-and-kept-bytes-from-trained-weights",
    said: "kept bytes, started from trained weights",
    ..KEPT
};

const TIME: Against = Against {
    id: "accuracy-and-time",
    said: "time of a step",
    cost: Cost::Ratio(
        "median time of a training step, with its share of measuring (exact plan = 1)",
    ),
    of: |plan, _| plan.time?.whole,
};

/// What a figure may say about the front of its plans.
enum Front {
    /// Costs are exact, so it is drawn.
    Exact,
    /// Costs differ by chance: this much, as a fraction, is no difference. `None` if that is unknown.
    Within(Option<f64>),
}

impl Source<'_> {
    /// The plans that start as the study does, with any number of epochs.
    pub(crate) fn plans_from_the_start(&self) -> Vec<&PlanRow> {
        self.plans.iter().filter(|plan| !plan.training.continued()).collect()
    }

    /// One figure for each cost that all finished runs have, and one for plans that start from trained
    /// weights.
    pub(crate) fn tradeoffs(&self) -> Result<Vec<Figure>> {
        let done = finished(self.plans_from_the_start());
        let mut figures = Vec::new();
        if done.is_empty() {
            return Ok(figures);
        }
        for against in [PEAK, KEPT].iter().filter(|against| everywhere(against, &done)) {
            figures.push(self.tradeoff(against, &done, &Front::Exact)?);
        }
        if let Some(base) = self.base().and_then(|base| base.time) {
            let timed: Vec<&PlanRow> =
                done.into_iter().filter(|p| everywhere(&TIME, &[p])).collect();
            if timed.len() > 1 {
                let front = Front::Within(base.noise());
                figures.push(self.tradeoff(&TIME, &timed, &front)?);
            }
        }
        let continued = finished(self.continued_and_their_starts());
        if !continued.is_empty() && everywhere(&CONTINUED, &continued) {
            figures.push(self.tradeoff(&CONTINUED, &continued, &Front::Exact)?);
        }
        Ok(figures)
    }

    /// The plans that start from trained weights, after those that they start from.
    fn continued_and_their_starts(&self) -> Vec<&PlanRow> {
        let mut plans: Vec<&PlanRow> = Vec::new();
        for plan in self.plans.iter().filter(|p| p.training.continued()) {
            let start = plan.plan.from.as_ref().and_then(|from| row(self.plans, from));
            for plan in start.into_iter().chain([plan]) {
                if plans.iter().all(|p| p.plan.name != plan.plan.name) {
                    plans.push(plan);
                }
            }
        }
        plans
    }

    fn tradeoff(&self, against: &Against, plans: &[&PlanRow], front: &Front) -> Result<Figure> {
        let points: Vec<(Vec<f64>, Vec<f64>)> = plans
            .iter()
            .map(|p| {
                let cost = p.runs.iter().filter_map(|run| (against.of)(p, run)).collect();
                (cost, p.runs.iter().map(|run| run.accuracy).collect())
            })
            .collect();
        let average = |values: &[f64]| mean(values.iter().copied()).unwrap_or(f64::NAN);
        let means: Vec<(f64, f64)> = points.iter().map(|(c, a)| (average(c), average(a))).collect();
        let on_front = pareto_front(&means);
        let names: Vec<String> = plans.iter().map(|p| p.label()).collect();
        let best = list(&on_front.iter().map(|&i| names[i].clone()).collect::<Vec<_>>());
        let costs = |of: &[usize]| of.iter().map(|&i| means[i].0).collect::<Vec<_>>();
        let all: Vec<usize> = (0..means.len()).collect();
        let (with_front, said) = match front {
            Front::Exact => (true, format!(": on the Pareto front {best}")),
            Front::Within(None) => {
                (false, ", without a front: too few rounds were timed to know the noise".to_owned())
            }
            Front::Within(Some(noise)) => {
                let noise_said = format!("differences below {} are noise", percent(*noise));
                match told_apart(&costs(&all), &costs(&on_front), *noise) {
                    true => (true, format!(": on the Pareto front {best}; {noise_said}")),
                    false => (false, format!(", without a front: {noise_said}")),
                }
            }
        };
        let candidates: Vec<Candidate<'_>> = plans
            .iter()
            .zip(&points)
            .zip(&names)
            .map(|((p, (cost, accuracy)), name)| Candidate {
                name,
                look: self.look(&p.plan.name),
                family: family::of_plan(&p.plan.spec),
                cost,
                accuracy,
            })
            .collect();
        let title = format!("Accuracy against {}{said}", against.said);
        Ok(tradeoff(&self.caption(against.id, title), against.cost, &candidates, with_front)?)
    }
}

fn finished(plans: Vec<&PlanRow>) -> Vec<&PlanRow> {
    plans.into_iter().filter(|p| !p.runs.is_empty()).collect()
}

/// Whether all finished runs have this cost.
fn everywhere(against: &Against, plans: &[&PlanRow]) -> bool {
    plans.iter().all(|p| p.runs.iter().all(|run| (against.of)(p, run).is_some()))
}

/// Whether the costs of all plans, and from step to step those on the front, differ by more than the
/// `noise`: otherwise the front depends on chance.
fn told_apart(all: &[f64], front: &[f64], noise: f64) -> bool {
    let least = all.iter().copied().fold(f64::INFINITY, f64::min);
    let most = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let more = |low: f64, high: f64| high / low - 1.0 > noise;
    more(least, most) && front.windows(2).all(|pair| more(pair[0], pair[1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_front_needs_steps_that_are_longer_than_the_noise() {
        let all = [1.0, 1.02, 1.3, 1.6];
        assert!(told_apart(&all, &[1.0, 1.3], 0.05));
        assert!(!told_apart(&all, &[1.0, 1.02, 1.6], 0.05));
        assert!(told_apart(&all, &[1.0, 1.02, 1.6], 0.01));
        assert!(!told_apart(&all[..2], &[1.0], 0.05), "all plans within the noise");
    }
}
