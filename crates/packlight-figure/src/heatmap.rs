//! Cosine of exact and compressed gradient as a heatmap: layers or parameters by steps.

use crate::axis::Axis;
use crate::canvas::{Anchor, Canvas, Frame, draw};
use crate::data::{data, number};
use crate::{Caption, Figure, Result, check, layers, mean_and_range, not_empty, text, theme};

/// Which two gradients a heatmap compares, and thus what its rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compared {
    /// A row for each layer: its exact and its compressed weight gradient from one backward pass.
    SideBySide,
    /// A row for each parameter: its gradients from two whole backward passes, one of them exact.
    WholePasses,
}

/// The cosines of one plan, mean over its seeds.
#[derive(Debug, Clone, Copy)]
pub struct Heatmap<'a> {
    /// What is compared.
    pub compared: Compared,
    /// The layers, or the parameters, in forward order.
    pub layers: &'a [&'a str],
    /// The probed steps.
    pub steps: &'a [f64],
    /// For each layer the cosine at each step; NaN if undefined.
    pub cosine: &'a [Vec<f64>],
    /// For each layer the norm of the exact gradient at each step.
    pub norm: &'a [Vec<f64>],
    /// Whether to use the diverging scale even if no cosine is negative, so that figures of several
    /// plans can be compared.
    pub signed: bool,
}

const SIDE_BY_SIDE: &str = "Each row is a layer, the input at the top, and each column a probed \
    training step. The colour is the cosine between the layer's exact weight gradient and the one \
    computed from the compressed activation of the same batch in the same backward pass";

const WHOLE_PASSES: &str = "Each row is a parameter, the input at the top, and each column a probed \
    training step. The colour is the cosine between the parameter's gradients from two whole \
    backward passes over the same batch, one with every activation kept exactly and one as the \
    plan keeps them, so the error of one layer reaches the layers before it";

const HOW_TO_READ: &str = ", mean over the seeds: 1 means the same direction, 0 no relation, below \
    0 that a step along it works against the exact one. Hatched cells are undefined: a gradient is \
    zero or not finite, or was not recorded. A cosine says nothing about length, and little where \
    the exact gradient is tiny; its mean norm |g| is given at the right.";

/// Draws the heatmap, with viridis over `[0, 1]`, or a diverging scale over `[-1, 1]` if a cosine
/// is negative.
///
/// # Errors
/// Returns an error if there is no layer or no step, or the slices do not match in length.
pub fn cosine_heatmap(caption: &Caption, map: &Heatmap<'_>) -> Result<Figure> {
    let rows = map.layers.len();
    not_empty(caption, "layer", rows)?;
    not_empty(caption, "step", map.steps.len())?;
    check(caption, "layers of cosine", rows, map.cosine.len())?;
    check(caption, "layers of norm", rows, map.norm.len())?;
    let (row, read) = match map.compared {
        Compared::SideBySide => ("layer", SIDE_BY_SIDE),
        Compared::WholePasses => ("parameter", WHOLE_PASSES),
    };
    let mut data = data(&[row, "step", "cosine", "exact_norm"])?;
    for (layer, (cosine, norm)) in map.layers.iter().zip(map.cosine.iter().zip(map.norm)) {
        check(caption, format!("cosine of {layer}"), map.steps.len(), cosine.len())?;
        check(caption, format!("norm of {layer}"), map.steps.len(), norm.len())?;
        for (step, (cosine, norm)) in map.steps.iter().zip(cosine.iter().zip(norm)) {
            data.write_record([
                (*layer).to_string(),
                number(*step),
                number(*cosine),
                number(*norm),
            ])?;
        }
    }
    let height = theme::HEIGHT.max(180 + 16 * rows as u32);
    let svg = draw(caption, height, &[], |canvas| {
        let negative = map.signed || map.cosine.iter().flatten().any(|c| *c < 0.0);
        let mut free = canvas.free;
        color_bar(canvas, free, negative)?;
        free.top += 40;
        cells(canvas, free, map, negative)
    })?;
    caption.figure(svg, data, format!("{read}{HOW_TO_READ}"))
}

pub(crate) fn color(value: f64, negative: bool) -> plotters::style::RGBColor {
    if negative { theme::diverging(value) } else { theme::sequential(value) }
}

pub(crate) fn color_bar(canvas: &Canvas<'_>, free: Frame, negative: bool) -> Result<()> {
    let low = if negative { -1.0 } else { 0.0 };
    let (left, y, width) = (free.left + 64, free.top + 4, 240);
    canvas.print((free.left, y), "cosine", theme::LABEL, theme::TEXT, Anchor::Start)?;
    let cells = 60;
    for i in 0..cells {
        let value = low + (1.0 - low) * (f64::from(i) + 0.5) / f64::from(cells);
        let x = left + width * i / cells;
        let end = left + width * (i + 1) / cells;
        canvas.rectangle((x, y - 7), (end, y + 7), color(value, negative))?;
    }
    for i in 0..=4 {
        let value = low + (1.0 - low) * f64::from(i) / 4.0;
        let at = (left + width * i / 4, y + 16);
        let label = text::decimal(value, if negative { 0.5 } else { 0.01 });
        canvas.print(at, &label, theme::TICK, theme::MUTED, Anchor::Middle)?;
    }
    let hatch = left + width + 40;
    canvas.hatch((hatch, y - 7), (hatch + 18, y + 7))?;
    canvas.print((hatch + 26, y), "undefined", theme::LABEL, theme::TEXT, Anchor::Start)
}

fn cells(canvas: &Canvas<'_>, free: Frame, map: &Heatmap<'_>, negative: bool) -> Result<()> {
    let (rows, columns) = (map.layers.len(), map.steps.len());
    let labels = map.layers.iter().map(|l| text::width(l, theme::TICK)).max().unwrap_or(0) + 10;
    let mut x = Axis::within("training step", 0.0, columns as f64, 1);
    let widest = map.steps.iter().map(|s| text::width(&number(*s), theme::TICK)).max().unwrap_or(0);
    let room = f64::from(free.right - 130 - free.left - labels);
    let every = (columns as f64 * f64::from(widest + 14) / room).ceil().max(1.0) as usize;
    x.ticks = (0..columns).step_by(every).map(|i| (i as f64 + 0.5, number(map.steps[i]))).collect();
    let mut y = Axis::within("", 0.0, rows as f64, 1);
    y.ticks.clear();
    let frame = Frame { top: free.top + 12, right: free.right - 130, ..free };
    let panel = canvas.panel(frame, &x, &y, labels)?;
    let inside = panel.inside();
    let top = |row: usize| panel.at(0.0, (rows - row) as f64).1;
    let edge = |column: usize| panel.at(column as f64, 0.0).0;
    let (mean_x, norm_x) = (inside.right + 56, free.right);
    let head = inside.top - 10;
    canvas.print((mean_x, head), "mean", theme::TICK, theme::MUTED, Anchor::End)?;
    canvas.print((norm_x, head), "mean |g|", theme::TICK, theme::MUTED, Anchor::End)?;
    for row in 0..rows {
        for column in 0..columns {
            let (a, b) = ((edge(column), top(row)), (edge(column + 1), top(row + 1)));
            let value = map.cosine[row][column];
            if value.is_finite() {
                canvas.rectangle(a, b, color(value, negative))?;
            } else {
                canvas.hatch(a, b)?;
            }
        }
        let middle = (top(row) + top(row + 1)) / 2;
        let name = (inside.left - 6, middle);
        canvas.print(name, map.layers[row], theme::TICK, theme::TEXT, Anchor::End)?;
        for (x, values, digits) in [(mean_x, &map.cosine[row], 3), (norm_x, &map.norm[row], 0)] {
            let (mean, ..) = mean_and_range(values.iter().copied());
            let label = match (mean.is_finite(), digits) {
                (false, _) => "undefined".to_string(),
                (true, 0) => text::significant(mean),
                (true, _) => text::decimal(mean, 0.001),
            };
            canvas.print((x, middle), &label, theme::TICK, theme::TEXT, Anchor::End)?;
        }
    }
    for row in layers::separators(map.layers) {
        canvas.path(
            &[(inside.left, top(row)), (inside.right, top(row))],
            theme::SURFACE,
            1,
            false,
        )?;
    }
    Ok(())
}
