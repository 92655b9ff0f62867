//! Whether plans disturb the gradient as predicted.

use packlight_figure::{Figure, PredictedPlan, calibration};

use crate::Result;
use crate::sensitivity::Sensitivity;

const HOW_TO_READ: &str = " The predicted error is the root of the sum of the squared errors of single \
    layers; the measured one is that of the plan's own training, whose whole gradient was compared at the \
    first probed step. Both are of the first tenth of the training, if that was measured. Where the training \
    repeated its passes, both are what averaging over steps leaves, √(bias² + variance / 19); otherwise \
    both are the error of one pass. The rank correlation compares the orders: 1 says that the plan with \
    the larger predicted error always had the larger measured one.";

impl Sensitivity {
    /// Measured against predicted errors of the plans that were verified; `None` if these are too few.
    pub(super) fn calibration(&self) -> Result<Option<Figure>> {
        let Some(title) = self.verified.title() else { return Ok(None) };
        let plans: Vec<PredictedPlan<'_>> = self
            .verified
            .plans
            .iter()
            .map(|plan| PredictedPlan {
                name: &plan.name,
                family: plan.family,
                predicted: plan.predicted,
                measured: &plan.measured,
            })
            .collect();
        let mut figure = calibration(&self.caption("calibration", title), &plans)?;
        figure.how_to_read += HOW_TO_READ;
        Ok(Some(figure))
    }
}
