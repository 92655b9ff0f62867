//! Two measurements of the same codecs at the same layers, one against the other.

use crate::axis::Axis;
use crate::canvas::{Frame, draw};
use crate::data::{data, number};
use crate::family::{Family, occurring};
use crate::legend::{Entry, Key};
use crate::{Caption, Figure, Result, mean_and_range, not_empty, text, theme};

/// A codec at a layer, measured in two ways.
#[derive(Debug, Clone, Copy)]
pub struct LayerPoint<'a> {
    /// The layer.
    pub layer: &'a str,
    /// The codec.
    pub codec: &'a str,
    /// Its family.
    pub family: Family,
    /// The first measurement.
    pub across: f64,
    /// The second one.
    pub up: f64,
    /// The lower end of its 95 % interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// The number of batches that it is from.
    pub n: u64,
}

/// What is measured in two ways.
#[derive(Debug, Clone, Copy)]
pub struct TwoWays<'a> {
    /// The label of the horizontal axis, and what its values are called in the data.
    pub across: (&'a str, &'a str),
    /// Those of the vertical one.
    pub up: (&'a str, &'a str),
    /// Whether both have one unit, so that a dashed line can show where they are equal.
    pub comparable: bool,
}

const HOW_TO_READ: &str = "One marker for each codec at each layer, in the colour of its family; a bar reaches over \
    the 95 % interval of the vertical value, from the batches. Both axes are logarithmic; what is at or below 0, \
    or less than they show, stands at their lower end.";
const DIAGONAL: &str = " On the dashed line both are equal.";

/// The least value that the axes show, as a share of the largest.
const LEAST: f64 = 1e-5;

/// Draws the second measurement of each codec at each layer against the first.
///
/// # Errors
/// Returns an error if no point has a value above 0 on each axis.
pub fn layer_scatter(
    caption: &Caption,
    ways: TwoWays<'_>,
    points: &[LayerPoint<'_>],
) -> Result<Figure> {
    let mut data = data(&["layer", "codec", ways.across.1, ways.up.1, "low", "high", "n"])?;
    for point in points {
        let [across, up, low, high] = [point.across, point.up, point.low, point.high].map(number);
        data.write_record([
            point.layer,
            point.codec,
            &across,
            &up,
            &low,
            &high,
            &point.n.to_string(),
        ])?;
    }
    let range = |values: &mut dyn Iterator<Item = f64>| -> Result<(f64, f64)> {
        let positive: Vec<f64> = values.filter(|value| *value > 0.0).collect();
        not_empty(caption, "value above 0", positive.len())?;
        let (_, low, high) = mean_and_range(positive.into_iter());
        Ok((low.max(high * LEAST) * 0.8, high * 1.25))
    };
    let mut across = range(&mut points.iter().map(|point| point.across))?;
    let mut up = range(&mut points.iter().flat_map(|point| [point.up, point.high]))?;
    if ways.comparable {
        across = (across.0.min(up.0), across.1.max(up.1));
        up = across;
    }
    let (x, y) = (Axis::log(ways.across.0, across.0, across.1), Axis::log(ways.up.0, up.0, up.1));
    let [left, bottom] = [x.low, y.low].map(|low| 10f64.powf(low));
    let families = occurring(points.iter().map(|point| point.family));
    let legend: Vec<_> =
        families.iter().map(|f| Entry::new(f.name(), f.look(), Key::Mark)).collect();
    let svg = draw(caption, theme::HEIGHT + 60, &legend, |canvas| {
        let panel = canvas.panel(canvas.free, &x, &y, 0)?;
        if ways.comparable {
            let ends = [left, 10f64.powf(x.high)].map(|end| panel.at(end, end));
            canvas.path(&ends, theme::MUTED, 1, true)?;
        }
        for point in points {
            let (look, across) = (point.family.look(), point.across.max(left));
            let at = |up: f64| panel.at(across, up.max(bottom));
            canvas.path(&[at(point.low), at(point.high)], look.ink, 1, false)?;
            let (x, y) = at(point.up);
            canvas.mark((x, y), look, 4)?;
            let area = Frame { left: x - 5, top: y - 5, right: x + 5, bottom: y + 5 };
            let [first, up] = [point.across, point.up].map(text::significant);
            let LayerPoint { layer, codec, n, .. } = point;
            let ((_, one), (_, two)) = (ways.across, ways.up);
            let interval = text::interval(point.low, point.high, *n);
            canvas
                .hover(area, &format!("{layer}, {codec}: {one} {first}, {two} {up} ({interval})"));
        }
        Ok(())
    })?;
    let equal = if ways.comparable { DIAGONAL } else { "" };
    caption.figure(svg, data, format!("{HOW_TO_READ}{equal}"))
}
