//! All plans in one figure: how close each layer's compressed gradient is to the exact one.

use crate::axis::Axis;
use crate::canvas::{Anchor, Canvas, Frame, draw};
use crate::color_scale::Scale;
use crate::columns::names_below;
use crate::data::{data, number};
use crate::names::Names;
use crate::{Caption, Figure, Result, check, mean_and_range, not_empty, theme};

/// One plan's mean cosine for each layer; NaN if undefined.
#[derive(Debug, Clone, Copy)]
pub struct PlanCosines<'a> {
    /// The plan's name.
    pub name: &'a str,
    /// The mean over steps and seeds for each layer.
    pub cosine: &'a [f64],
    /// The mean over the layers whose gradient the plan changes.
    pub mean: f64,
}

const HOW_TO_READ: &str = "A row for each plan, a column for each layer in forward order: the mean \
    over the probed steps and the seeds of the cosine between the layer's compressed and exact \
    weight gradient. 1 is exact, 0 is no relation. Hatched: undefined, because the exact gradient \
    was zero or the layer was not probed. At the right are the mean over the layers whose \
    gradient the plan changes, and the lowest. Names that are shortened or have no room are shown to a \
    pointer over their column.";

const ROW: i32 = 15;

/// Draws the heatmap of plans by layers.
///
/// # Errors
/// Returns an error if there is no plan or no layer, or a plan does not have one cosine for each
/// layer.
pub fn cosine_overview(
    caption: &Caption,
    layers: &[&str],
    plans: &[PlanCosines<'_>],
) -> Result<Figure> {
    not_empty(caption, "layer", layers.len())?;
    not_empty(caption, "plan", plans.len())?;
    let mut data = data(&["plan", "layer", "mean_cosine"])?;
    for plan in plans {
        check(caption, plan.name, layers.len(), plan.cosine.len())?;
        for (layer, cosine) in layers.iter().zip(plan.cosine) {
            data.write_record([plan.name.to_string(), (*layer).to_string(), number(*cosine)])?;
        }
    }
    let shown = Names::new(plans.iter().map(|p| p.name), theme::TICK, theme::NAME);
    let layers = Names::layers(layers.iter().copied(), theme::TICK, theme::LAYER);
    let names = layers.width(theme::TICK) + 10;
    let scale = Scale::of(plans.iter().flat_map(|p| p.cosine).copied(), false);
    let height = theme::HEIGHT.max((190 + names + ROW * plans.len() as i32) as u32);
    let svg = draw(caption, height, &[], |canvas| {
        scale.bar(canvas, canvas.free)?;
        let free =
            Frame { top: canvas.free.top + 52, bottom: canvas.free.bottom - names, ..canvas.free };
        cells(canvas, free, &layers, (plans, &shown), scale)
    })?;
    caption.figure(svg, data, format!("{HOW_TO_READ}{}{}", scale.how_to_read(), shown.key()))
}

fn cells(
    canvas: &Canvas<'_>,
    free: Frame,
    layers: &Names<'_>,
    (plans, shown): (&[PlanCosines<'_>], &Names<'_>),
    scale: Scale,
) -> Result<()> {
    let (rows, columns) = (plans.len(), layers.len());
    let names = shown.width(theme::TICK) + 10;
    let mut x = Axis::within("", 0.0, columns as f64, 1);
    let mut y = Axis::within("", 0.0, rows as f64, 1);
    x.ticks.clear();
    y.ticks.clear();
    let frame = Frame { right: free.right - 110, ..free };
    let panel = canvas.panel(frame, &x, &y, names)?;
    let inside = panel.inside();
    let top = |row: usize| panel.at(0.0, (rows - row) as f64).1;
    let edge = |column: usize| panel.at(column as f64, 0.0).0;
    let (mean_x, lowest_x) = (inside.right + 50, inside.right + 104);
    for (at, head) in [(mean_x, "mean"), (lowest_x, "lowest")] {
        canvas.print((at, inside.top - 10), head, theme::TICK, theme::MUTED, Anchor::End)?;
    }
    for (row, plan) in plans.iter().enumerate() {
        for (column, cosine) in plan.cosine.iter().enumerate() {
            let (a, b) = ((edge(column), top(row)), (edge(column + 1), top(row + 1)));
            if cosine.is_finite() {
                canvas.rectangle(a, b, scale.color(*cosine))?;
            } else {
                canvas.hatch(a, b)?;
            }
        }
        let middle = (top(row) + top(row + 1)) / 2;
        let (at, name) = ((inside.left - 6, middle), (shown.at(row), shown.full(row)));
        canvas.print_short(at, name, theme::TICK, theme::TEXT, Anchor::End)?;
        let (_, lowest, _) = mean_and_range(plan.cosine.iter().copied());
        for (at, value) in [(mean_x, plan.mean), (lowest_x, lowest)] {
            let label = scale.text(value);
            canvas.print((at, middle), &label, theme::TICK, theme::TEXT, Anchor::End)?;
        }
    }
    names_below(canvas, inside, inside.top, layers, edge)
}
