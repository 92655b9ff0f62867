//! Cosine of exact and compressed gradient as a heatmap: layers or parameters by steps.

use crate::axis::Axis;
use crate::canvas::{Anchor, Canvas, Frame, draw};
use crate::color_scale::Scale;
use crate::data::{data, number};
use crate::names::Names;
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

/// Draws the heatmap, with viridis over `[0, 1]`; over the logarithm of the distance from 1 if all
/// cosines are above 0.9; or with a diverging scale over `[-1, 1]` if one is negative.
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
    let scale = Scale::of(map.cosine.iter().flatten().copied(), map.signed);
    let svg = draw(caption, height, &[], |canvas| {
        let mut free = canvas.free;
        scale.bar(canvas, free)?;
        free.top += 40;
        cells(canvas, free, map, scale)
    })?;
    caption.figure(svg, data, format!("{read}{HOW_TO_READ}{}", scale.how_to_read()))
}

fn cells(canvas: &Canvas<'_>, free: Frame, map: &Heatmap<'_>, scale: Scale) -> Result<()> {
    let (rows, columns) = (map.layers.len(), map.steps.len());
    let names = Names::layers(map.layers.iter().copied(), theme::TICK, theme::LAYER);
    let labels = names.width(theme::TICK) + 10;
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
                canvas.rectangle(a, b, scale.color(value))?;
            } else {
                canvas.hatch(a, b)?;
            }
        }
        let middle = (top(row) + top(row + 1)) / 2;
        let name = (inside.left - 6, middle);
        let shown = (names.at(row), names.full(row));
        canvas.print_short(name, shown, theme::TICK, theme::TEXT, Anchor::End)?;
        let [cosine, norm] = [&map.cosine[row], &map.norm[row]]
            .map(|values| mean_and_range(values.iter().copied()).0);
        let norm = if norm.is_finite() { text::significant(norm) } else { "–".to_string() };
        for (x, label) in [(mean_x, scale.text(cosine)), (norm_x, norm)] {
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
