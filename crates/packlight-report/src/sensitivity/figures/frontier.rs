//! The best that can be had for so many bytes.

use packlight_figure::{Figure, UniformPlan, binary, frontier};

use crate::Result;
use crate::family::of_plan;
use crate::format::multiple;
use crate::sensitivity::Sensitivity;
use crate::sensitivity::ranking::of_allocation;

impl Sensitivity {
    /// The frontier with its knee, and plans of one codec; `None` if no allocation has an error.
    pub(super) fn frontier_figure(&self) -> Result<Option<Figure>> {
        let points: Vec<(f64, f64)> =
            self.frontier.iter().map(|a| (a.bytes as f64, a.error.sqrt())).collect();
        if !points.iter().any(|point| point.1 > 0.0) {
            return Ok(None);
        }
        let plans: Vec<UniformPlan<'_>> = self
            .uniform()
            .map(|(codec, plan)| {
                let error = of_allocation(&self.measured, &plan);
                let (low, high) = error.ends();
                let (family, bytes) = (of_plan(codec), plan.bytes as f64);
                UniformPlan { codec, family, bytes, error: error.value, low, high, n: error.n }
            })
            .collect();
        let title = match self.knee {
            Some(knee) => format!(
                "Choosing layer by layer: the knee keeps {} ({} of exact) at a predicted error of {}",
                binary(points[knee].0),
                multiple(Some(self.share(self.frontier[knee].bytes))),
                of_allocation(&self.measured, &self.frontier[knee]).said(),
            ),
            None => "Choosing layer by layer: bytes kept against predicted error".to_owned(),
        };
        let exact = self.measured.exact_bytes() as f64;
        let caption = self.caption("frontier", title);
        Ok(Some(frontier(&caption, &points, self.knee, exact, &plans)?))
    }
}
