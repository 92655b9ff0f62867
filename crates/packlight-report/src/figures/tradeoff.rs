//! Accuracy against its costs, memory and time.

use packlight_figure::{Candidate, Cost, Figure, pareto_front, tradeoff};

use super::Source;
use crate::format::list;
use crate::plan::{PlanRow, RunPoint, mean};
use crate::{Result, family};

/// A cost that accuracy is plotted against.
struct Against {
    id: &'static str,
    /// Its name in a title.
    said: &'static str,
    cost: Cost<'static>,
    /// The cost of a finished run.
    of: fn(&RunPoint) -> Option<f64>,
}

const PEAK: Against = Against {
    id: "accuracy-and-memory",
    said: "peak memory",
    cost: Cost::Bytes("peak of a training step, counting allocator"),
    of: |run| run.peak_allocated,
};

const PEAK_KEPT: Against =
    Against { cost: Cost::Bytes("peak of kept bytes, ledger"), of: |run| run.peak_kept, ..PEAK };

const KEPT: Against = Against {
    id: "accuracy-and-kept-bytes",
    said: "kept bytes",
    cost: Cost::Bytes("most bytes held at once, with codec state, ledger"),
    of: |run| run.held,
};

const TIME: Against = Against {
    id: "accuracy-and-time",
    said: "time of a step",
    cost: Cost::Ratio("median time of a training step (exact plan = 1)"),
    of: |run| run.step_seconds,
};

impl Source<'_> {
    /// One figure for each cost that all finished runs have.
    pub(crate) fn tradeoffs(&self) -> Result<Vec<Figure>> {
        let done: Vec<&PlanRow> = self.plans.iter().filter(|p| !p.runs.is_empty()).collect();
        let everywhere =
            |a: &Against| done.iter().all(|p| p.runs.iter().all(|run| (a.of)(run).is_some()));
        let base_time = self.base().and_then(|base| base.step_seconds).filter(|s| *s > 0.0);
        let mut figures = Vec::new();
        if done.is_empty() {
            return Ok(figures);
        }
        let peak = if everywhere(&PEAK) { PEAK } else { PEAK_KEPT };
        for against in [peak, KEPT].iter().filter(|a| everywhere(a)) {
            figures.push(self.tradeoff(against, 1.0, &done)?);
        }
        if let Some(unit) = base_time.filter(|_| everywhere(&TIME)) {
            figures.push(self.tradeoff(&TIME, unit, &done)?);
        }
        Ok(figures)
    }

    fn tradeoff(&self, against: &Against, unit: f64, plans: &[&PlanRow]) -> Result<Figure> {
        let points: Vec<(Vec<f64>, Vec<f64>)> = plans
            .iter()
            .map(|p| {
                let cost = p.runs.iter().filter_map(against.of).map(|cost| cost / unit).collect();
                (cost, p.runs.iter().map(|run| run.accuracy).collect())
            })
            .collect();
        let average = |values: &[f64]| mean(values.iter().copied()).unwrap_or(f64::NAN);
        let means: Vec<(f64, f64)> = points.iter().map(|(c, a)| (average(c), average(a))).collect();
        let best: Vec<String> =
            pareto_front(&means).into_iter().map(|i| plans[i].plan.name.clone()).collect();
        let title =
            format!("Accuracy against {}: on the Pareto front {}", against.said, list(&best));
        let candidates: Vec<Candidate<'_>> = plans
            .iter()
            .zip(&points)
            .map(|(p, (cost, accuracy))| Candidate {
                name: &p.plan.name,
                look: self.look(&p.plan.name),
                family: family::of_plan(&p.plan.spec),
                cost,
                accuracy,
            })
            .collect();
        Ok(tradeoff(&self.caption(against.id, title), against.cost, &candidates, true)?)
    }
}
