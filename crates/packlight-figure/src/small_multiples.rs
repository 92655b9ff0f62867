//! Cosine of exact and compressed gradient against step, in small panels of a few layers each.

use std::ops::Range;

use crate::axis::Axis;
use crate::canvas::{Anchor, Canvas, Frame, draw};
use crate::color_scale::NEAR;
use crate::data::{data, number};
use crate::layers::{layer_groups, looks};
use crate::names::Names;
use crate::{Caption, Figure, Result, check, mean_and_range, not_empty, theme};

const HOW_TO_READ: &str = "One panel for each group of layers in forward order, one line for each \
    layer: the cosine between its exact and its compressed weight gradient, as the mean over the \
    seeds with a band from the lowest to the highest seed. ";
const PLAIN: &str = "The axis always spans -1 to 1; the thin line at 1 is the exact direction. \
    Lines are broken where the cosine is undefined or was not recorded.";
const ZOOMED: &str = "All cosines are above 0.9, so the figure shows their distance from 1 on a \
    logarithmic axis: lower is better, and a gradient one decade lower is ten times closer. \
    A cosine of exactly 1 cannot be shown on this axis and leaves a gap.";

/// Draws the `cosine` of each layer (in forward order) and each seed at each of `steps`; NaN if it
/// is undefined or was not recorded.
///
/// # Errors
/// Returns an error if there is no layer or step, or the slices do not match in length.
pub fn cosine_multiples(
    caption: &Caption,
    layers: &[&str],
    steps: &[f64],
    cosine: &[Vec<Vec<f64>>],
) -> Result<Figure> {
    not_empty(caption, "layer", layers.len())?;
    not_empty(caption, "step", steps.len())?;
    check(caption, "layers of cosine", layers.len(), cosine.len())?;
    let mut data = data(&["layer", "seed_index", "step", "cosine"])?;
    for (layer, seeds) in layers.iter().zip(cosine) {
        for (seed, values) in seeds.iter().enumerate() {
            check(caption, format!("cosine of {layer}"), steps.len(), values.len())?;
            for (step, value) in steps.iter().zip(values) {
                let layer = (*layer).to_string();
                data.write_record([layer, seed.to_string(), number(*step), number(*value)])?;
            }
        }
    }
    let (_, low, _) = mean_and_range(cosine.iter().flatten().flatten().copied());
    let zoomed = low > NEAR && low < 1.0;
    let groups = layer_groups(layers);
    let columns = groups.len().min(2);
    let rows = groups.len().div_ceil(columns);
    let height = theme::HEIGHT.max(100 + 220 * rows as u32);
    let all_looks = looks(layers);
    let (x, y) = axes(steps, cosine, zoomed);
    let shown = Names::layers(layers.iter().copied(), theme::TICK, theme::LAYER);
    let key = shown.width(theme::TICK) + 28;
    let svg = draw(caption, height, &[], |canvas| {
        let mut free = canvas.free;
        free.top += 16;
        for (frame, group) in free.grid(rows, columns, 20).into_iter().zip(&groups) {
            let panel = canvas.panel(Frame { right: frame.right - key, ..frame }, &x, &y, 0)?;
            if !zoomed {
                panel.level(1.0, theme::AXIS, false)?;
                panel.level(0.0, theme::AXIS, true)?;
            }
            for (i, look) in group.clone().zip(&all_looks[group.clone()]) {
                let value = |c: f64| match zoomed {
                    false => c,
                    true if c < 1.0 => 1.0 - c,
                    true => f64::NAN,
                };
                let at = |s: usize| mean_and_range(cosine[i].iter().map(|seed| value(seed[s])));
                let all: Vec<_> = (0..steps.len()).map(at).collect();
                let mean: Vec<f64> = all.iter().map(|a| a.0).collect();
                let low: Vec<f64> = all.iter().map(|a| a.1).collect();
                let high: Vec<f64> = all.iter().map(|a| a.2).collect();
                panel.band(steps, &low, &high, look.ink)?;
                panel.line(steps, &mean, look.ink, 2, false)?;
                panel.marks(steps, &mean, *look, 7)?;
            }
            key_beside(canvas, panel.inside(), &shown, group.clone(), &all_looks)?;
        }
        Ok(())
    })?;
    caption.figure(svg, data, format!("{HOW_TO_READ}{}", if zoomed { ZOOMED } else { PLAIN }))
}

fn axes(steps: &[f64], cosine: &[Vec<Vec<f64>>], zoomed: bool) -> (Axis, Axis) {
    let (_, first, last) = mean_and_range(steps.iter().copied());
    let x = Axis::whole("training step", first, last, 4);
    if !zoomed {
        return (x, Axis::cosine("cosine"));
    }
    let distances = cosine.iter().flatten().flatten().map(|c| 1.0 - c).filter(|d| *d > 0.0);
    let (_, low, high) = mean_and_range(distances);
    (x, Axis::log("1 − cosine", low, high))
}

/// The names of a panel's lines at its right.
fn key_beside(
    canvas: &Canvas<'_>,
    inside: Frame,
    names: &Names<'_>,
    group: Range<usize>,
    looks: &[theme::Look],
) -> Result<()> {
    for (i, layer) in group.enumerate() {
        let y = inside.top + 8 + 18 * i as i32;
        canvas.mark((inside.right + 14, y), looks[layer], 4)?;
        let (at, name) = ((inside.right + 26, y), (names.at(layer), names.full(layer)));
        canvas.print_short(at, name, theme::TICK, theme::TEXT, Anchor::Start)?;
    }
    Ok(())
}
