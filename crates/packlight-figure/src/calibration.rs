//! Predicted against measured errors: one point for each plan.

use crate::axis::Axis;
use crate::canvas::{Frame, draw};
use crate::data::{data, number};
use crate::family::{Family, occurring};
use crate::labels::Labels;
use crate::legend::{Entry, Key};
use crate::names::Names;
use crate::{Caption, Figure, Result, mean_and_range, not_empty, text, theme};

/// A plan whose error was predicted before it was measured.
#[derive(Debug, Clone, Copy)]
pub struct PredictedPlan<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its family.
    pub family: Family,
    /// The predicted relative error of the whole gradient, above 0.
    pub predicted: f64,
    /// The measured one of each seed, above 0.
    pub measured: &'a [f64],
}

const HOW_TO_READ: &str = "One marker for each plan: to the right is the predicted error of the whole \
    gradient, upwards the measured one, the mean over the seeds; bars reach from the lowest to the highest \
    seed. On the dashed line both are equal: above it a plan errs more than predicted, below it less. Both \
    axes are logarithmic.";

/// Draws measured against predicted errors.
///
/// # Errors
/// Returns an error if there is no plan, or one has no seeds.
pub fn calibration(caption: &Caption, plans: &[PredictedPlan<'_>]) -> Result<Figure> {
    not_empty(caption, "plan", plans.len())?;
    let mut data = data(&["plan", "seed_index", "predicted_error", "measured_error"])?;
    for plan in plans {
        not_empty(caption, "seed", plan.measured.len())?;
        for (seed, measured) in plan.measured.iter().enumerate() {
            let [predicted, measured] = [plan.predicted, *measured].map(number);
            data.write_record([plan.name, &seed.to_string(), &predicted, &measured])?;
        }
    }
    let predicted = || plans.iter().map(|plan| plan.predicted);
    let (_, least, most) = mean_and_range(predicted());
    let measured = plans.iter().flat_map(|plan| plan.measured.iter().copied());
    let (_, low, high) = mean_and_range(predicted().chain(measured));
    let (left, right) = (least * 0.7, most * 1.4);
    let x = Axis::log("predicted error of the whole gradient", left, right);
    let y = Axis::log("measured error of the whole gradient", low * 0.7, high * 1.4);
    let families = occurring(plans.iter().map(|plan| plan.family));
    let legend: Vec<_> =
        families.iter().map(|f| Entry::new(f.name(), f.look(), Key::Mark)).collect();
    let shown = Names::new(plans.iter().map(|plan| plan.name), theme::LABEL, theme::NAME);
    let svg = draw(caption, theme::HEIGHT + 60, &legend, |canvas| {
        let panel = canvas.panel(canvas.free, &x, &y, 0)?;
        let mut labels = Labels::new(panel.inside(), theme::LABEL);
        let ends = [left, right].map(|end| panel.at(end, end));
        canvas.path(&ends, theme::MUTED, 1, true)?;
        labels.avoid_line(ends[0], ends[1]);
        let mut places = Vec::new();
        for plan in plans {
            let (mean, lowest, highest) = mean_and_range(plan.measured.iter().copied());
            let bar = [lowest, highest].map(|end| panel.at(plan.predicted, end));
            canvas.path(&bar, plan.family.look().ink, 1, false)?;
            labels.avoid_line(bar[0], bar[1]);
            let (x, y) = panel.at(plan.predicted, mean);
            canvas.mark((x, y), plan.family.look(), 6)?;
            let area = Frame { left: x - 7, top: y - 7, right: x + 7, bottom: y + 7 };
            labels.avoid(area);
            let [predicted, mean, lowest, highest] =
                [plan.predicted, mean, lowest, highest].map(text::significant);
            let n = plan.measured.len();
            let name = plan.name;
            canvas.hover(
                area,
                &format!("{name}: predicted {predicted}, measured {mean} ({lowest} to {highest}), n = {n}"),
            );
            places.push((x, y));
        }
        for (i, (plan, at)) in plans.iter().zip(places).enumerate() {
            labels.write(canvas, at, (shown.at(i), plan.name))?;
        }
        Ok(())
    })?;
    caption.figure(svg, data, format!("{HOW_TO_READ}{}", shown.key()))
}
