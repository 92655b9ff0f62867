//! The error of the whole gradient against the share of the input that a codec keeps, level by level.

use crate::axis::Axis;
use crate::canvas::{Canvas, Frame, draw};
use crate::data::{data, number};
use crate::error_map::LayerError;
use crate::labels::Labels;
use crate::legend::{Entry, Key};
use crate::panel::Panel;
use crate::theme::{self, Look, OKABE_ITO};
use crate::{Caption, Figure, Result, check, mean_and_range, not_empty, rows};

/// A layer at each level of a codec.
#[derive(Debug, Clone, Copy)]
pub struct LayerLevels<'a> {
    /// The layer's name.
    pub layer: &'a str,
    /// The bytes of its input, uncompressed.
    pub raw: f64,
    /// For each level what was measured; `None` if nothing was.
    pub levels: &'a [Option<LayerError>],
}

/// A codec at several levels.
#[derive(Debug, Clone, Copy)]
pub struct CodecLevels<'a> {
    /// The codec without its level.
    pub name: &'a str,
    /// The codec at each level, as plans write it, in order.
    pub codecs: &'a [&'a str],
    /// The layers.
    pub layers: &'a [LayerLevels<'a>],
}

/// The height of a panel with its heading and axis.
const PANEL: u32 = 340;

const HOW_TO_READ: &str = "One panel for each codec that was measured at several levels, all with the same \
    axes: the lasting error of the whole gradient where one layer alone is compressed, against the \
    share of that layer's input that is kept; further down and to the left is better. Each thin grey line is \
    a layer. The black line is the median of error and share over the layers at each level; the band \
    holds the middle half of the layers. The layers with the largest and the smallest error, on average \
    over the levels, have colours and names. Layers at the numerical floor are left out. A pointer over \
    a coloured marker shows the value, its 95 % interval and n.";

/// Draws a panel for each codec.
///
/// # Errors
/// Returns an error if there is no codec, one has no layer, or a layer does not have one value for each
/// level.
pub fn error_by_level(caption: &Caption, families: &[CodecLevels<'_>]) -> Result<Figure> {
    not_empty(caption, "codec", families.len())?;
    let header = ["codec", "layer", "error", "low", "high", "n", "kept_bytes", "raw_bytes"];
    let mut data = data(&header)?;
    for family in families {
        not_empty(caption, "layer", family.layers.len())?;
        for layer in family.layers {
            check(caption, layer.layer, family.codecs.len(), layer.levels.len())?;
            for (codec, cell) in family.codecs.iter().zip(layer.levels) {
                let Some(cell) = cell else { continue };
                let numbers =
                    [cell.error, cell.low, cell.high, cell.n as f64, cell.kept, layer.raw];
                let names = [codec, layer.layer].map(String::from).into_iter();
                data.write_record(names.chain(numbers.map(number)))?;
            }
        }
    }
    let all: Vec<(f64, f64)> =
        families.iter().flat_map(|f| f.layers).flat_map(|layer| course(layer)).collect();
    let (_, least, most) = mean_and_range(all.iter().map(|p| p.0));
    let (_, low, high) = mean_and_range(all.iter().map(|p| p.1));
    let x = Axis::log("share of the input kept", least * 0.95, most * 1.05);
    let y = Axis::log("error of the whole gradient", low * 0.95, high * 1.05);
    let [black, blue, vermilion, ..] = OKABE_ITO;
    let legend = [
        Entry::new("median layer", Look { ink: black, ..theme::plan(0) }, Key::Line),
        Entry::new("largest error", Look { ink: vermilion, ..theme::plan(2) }, Key::Line),
        Entry::new("smallest error", Look { ink: blue, ..theme::plan(1) }, Key::Line),
    ];
    let across = families.len().min(rows::ACROSS);
    let tiers = families.len().div_ceil(across);
    let height = theme::HEIGHT.max(150 + PANEL * tiers as u32);
    let svg = draw(caption, height, &legend, |canvas| {
        for (frame, family) in canvas.free.grid(tiers, across, 18).into_iter().zip(families) {
            let panel = canvas.panel(Frame { top: frame.top + 24, ..frame }, &x, &y, 0)?;
            panel.heading(family.name, &family.codecs.join(", "))?;
            draw_family(canvas, &panel, family)?;
        }
        Ok(())
    })?;
    caption.figure(svg, data, HOW_TO_READ)
}

/// Share kept and error at each level; NaN where an axis cannot show them.
fn course(layer: &LayerLevels<'_>) -> Vec<(f64, f64)> {
    let at = |cell: &Option<LayerError>| match cell {
        Some(cell) if cell.error > 0.0 && cell.kept > 0.0 => (cell.kept / layer.raw, cell.error),
        _ => (f64::NAN, f64::NAN),
    };
    layer.levels.iter().map(at).collect()
}

fn draw_family(canvas: &Canvas<'_>, panel: &Panel<'_, '_>, family: &CodecLevels<'_>) -> Result<()> {
    let courses: Vec<Vec<(f64, f64)>> = family.layers.iter().map(course).collect();
    let split = |course: &[(f64, f64)]| -> (Vec<f64>, Vec<f64>) { course.iter().copied().unzip() };
    let quantile = |part: f64| -> Vec<(f64, f64)> {
        let of = |level: usize, of: fn(&(f64, f64)) -> f64, part: f64| {
            quantile(courses.iter().map(|course| of(&course[level])), part)
        };
        (0..family.codecs.len()).map(|l| (of(l, |p| p.0, 0.5), of(l, |p| p.1, part))).collect()
    };
    let [(x, low), (_, middle), (_, high)] = [0.25, 0.5, 0.75].map(|part| split(&quantile(part)));
    panel.band(&x, &low, &high, theme::MUTED)?;
    for course in &courses {
        let (x, y) = split(course);
        panel.line(&x, &y, theme::AXIS, 1, false)?;
    }
    panel.line(&x, &middle, theme::plan(0).ink, 2, false)?;
    panel.marks(&x, &middle, theme::plan(0), usize::MAX)?;
    let mut labels = Labels::new(panel.inside(), theme::TICK);
    let pixels = |course: &[(f64, f64)]| -> Vec<(i32, i32)> {
        course.iter().filter(|p| p.1.is_finite()).map(|p| panel.at(p.0, p.1)).collect()
    };
    for course in &courses {
        pixels(course).windows(2).for_each(|ends| labels.avoid_line(ends[0], ends[1]));
    }
    let extremes = extremes(&courses);
    for (i, look) in extremes.iter().copied().zip([theme::plan(2), theme::plan(1)]) {
        let (x, y) = split(&courses[i]);
        panel.line(&x, &y, look.ink, 2, false)?;
        panel.marks(&x, &y, look, usize::MAX)?;
        for (codec, (cell, (x, y))) in
            family.codecs.iter().zip(family.layers[i].levels.iter().zip(&courses[i]))
        {
            if let Some(cell) = cell.filter(|_| y.is_finite()) {
                let ((x, y), r) = (panel.at(*x, *y), 6);
                let area = Frame { left: x - r, top: y - r, right: x + r, bottom: y + r };
                labels.avoid(area);
                let layer = family.layers[i].layer;
                canvas.hover(area, &format!("{layer}, {codec}: {}", cell.said()));
            }
        }
    }
    for i in extremes {
        let name = family.layers[i].layer;
        if let Some(point) = pixels(&courses[i]).first() {
            labels.write(canvas, *point, (name, name))?;
        }
    }
    Ok(())
}

/// The layers with the largest and the smallest error, by the mean logarithm over the levels.
fn extremes(courses: &[Vec<(f64, f64)>]) -> Vec<usize> {
    let mean = |i: usize| mean_and_range(courses[i].iter().map(|p| p.1.ln())).0;
    let mut order: Vec<usize> = (0..courses.len()).filter(|i| mean(*i).is_finite()).collect();
    order.sort_by(|a, b| mean(*b).total_cmp(&mean(*a)));
    match order[..] {
        [] => Vec::new(),
        [only] => vec![only],
        [first, .., last] => vec![first, last],
    }
}

/// A quantile of the finite `values`, between the two nearest; NaN if there are none.
fn quantile(values: impl Iterator<Item = f64>, part: f64) -> f64 {
    let mut values: Vec<f64> = values.filter(|v| v.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    let Some(last) = values.len().checked_sub(1) else { return f64::NAN };
    let at = part * last as f64;
    let (below, above) = (values[at.floor() as usize], values[at.ceil() as usize]);
    below + (above - below) * at.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_their_neighbours() {
        let of = |part| quantile([3.0, 1.0, f64::NAN, 2.0, 4.0].into_iter(), part);
        assert_eq!([0.0, 0.25, 0.5, 1.0].map(of), [1.0, 1.75, 2.5, 4.0]);
        assert!(quantile([f64::NAN].into_iter(), 0.5).is_nan());
    }
}
