//! The distribution over samples of each layer's learning indicator.

use crate::axis::Axis;
use crate::canvas::{Anchor, Canvas, draw};
use crate::data::{data, number};
use crate::names::Names;
use crate::panel::Panel;
use crate::rows::Rows;
use crate::{Caption, Figure, Result, check, layers, not_empty, text, theme};

/// The distribution of a layer's learning indicator over samples or tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantiles {
    /// The 5th percentile.
    pub p05: f64,
    /// The 25th percentile.
    pub p25: f64,
    /// The median.
    pub median: f64,
    /// The 75th percentile.
    pub p75: f64,
    /// The 95th percentile.
    pub p95: f64,
    /// The fraction at or below 0.
    pub nonpositive: f64,
}

/// One plan's learning indicators.
#[derive(Debug, Clone, Copy)]
pub struct IndicatorColumn<'a> {
    /// The plan's name.
    pub name: &'a str,
    /// One for each layer; `None` if undefined.
    pub layers: &'a [Option<Quantiles>],
}

/// The lowest value that the axis shows.
const FLOOR: f64 = -2.0;

const HOW_TO_READ: &str = "The learning indicator LI = 1 − |h − r|² / |h|² compares, for each sample \
    (for each token in linear layers), a layer's true input h with the input r that the backward \
    pass restores: 1 is exact, 0 is no better than dropping the activation, and below 0 (left of \
    the dashed line) the step may no longer reduce the loss. Thick bar: the middle half of the \
    samples; thin line: 5th to 95th percentile; tick: the median. All plans share the axis. At the \
    right of each row is the share of samples at or below 0, if there are any. Percentiles are \
    averaged over the probed steps and the seeds.";

/// Draws a row for each layer, in forward order, and a column for each plan, all on the same axis.
/// Values below -2 are cut off there and marked by a triangle.
///
/// # Errors
/// Returns an error if there is no layer or no column, or a column does not have one entry for each
/// layer.
pub fn learning_indicator(
    caption: &Caption,
    layers: &[&str],
    columns: &[IndicatorColumn<'_>],
) -> Result<Figure> {
    not_empty(caption, "layer", layers.len())?;
    not_empty(caption, "plan", columns.len())?;
    let header = ["plan", "layer", "p05", "p25", "median", "p75", "p95", "nonpositive_fraction"];
    let mut data = data(&header)?;
    let mut low: f64 = 0.0;
    for column in columns {
        check(caption, column.name, layers.len(), column.layers.len())?;
        for (layer, quantiles) in layers.iter().zip(column.layers) {
            let name = [column.name.to_string(), (*layer).to_string()];
            let values = quantiles.map_or([f64::NAN; 6], |q| {
                low = low.min(q.p05);
                [q.p05, q.p25, q.median, q.p75, q.p95, q.nonpositive]
            });
            data.write_record(name.into_iter().chain(values.map(number)))?;
        }
    }
    let rows = Rows { layers, columns: columns.len(), row_height: 17, aside: 44 };
    let low = if low < 0.0 { low.max(FLOOR) } else { 0.0 };
    let x = Axis::linear("learning indicator", low, 1.0, 4);
    let looks = layers::looks(layers);
    let room = rows.heading_room(rows.aside);
    let shown = Names::new(columns.iter().map(|c| c.name), theme::LABEL * 1.1, room);
    let svg = draw(caption, rows.height(), &[], |canvas| {
        let heading = |i| (shown.at(i).to_string(), shown.full(i).to_string());
        let headings: Vec<_> = (0..columns.len()).map(heading).collect();
        rows.draw(canvas, &x, &headings, |panel, column| {
            panel.upright(0.0, theme::MUTED, true)?;
            let inside = panel.inside();
            let head = (inside.right + 40, inside.top - 11);
            canvas.print(head, "≤ 0", theme::TICK, theme::MUTED, Anchor::End)?;
            for (row, quantiles) in columns[column].layers.iter().enumerate() {
                let y = rows.middle(panel, row);
                let half = rows.half(panel);
                match quantiles {
                    Some(q) => summary(canvas, panel, q, (y, half), looks[row].ink)?,
                    None => canvas.hatch((inside.left, y - half), (inside.right, y + half))?,
                }
            }
            Ok(())
        })
    })?;
    caption.figure(svg, data, format!("{HOW_TO_READ}{}", shown.key()))
}

/// Draws one row: thin line, thick bar, median.
fn summary(
    canvas: &Canvas<'_>,
    panel: &Panel<'_, '_>,
    q: &Quantiles,
    (y, half): (i32, i32),
    ink: plotters::style::RGBColor,
) -> Result<()> {
    let inside = panel.inside();
    let at = |value: f64| panel.at(value, 0.0).0.clamp(inside.left, inside.right);
    canvas.path(&[(at(q.p05), y), (at(q.p95), y)], ink, 2, false)?;
    let (from, to) = (at(q.p25), at(q.p75).max(at(q.p25) + 2));
    canvas.rectangle((from, y - half), (to, y + half), ink)?;
    let median = at(q.median);
    canvas.path(&[(median, y - half - 2), (median, y + half + 2)], theme::TEXT, 2, false)?;
    if panel.at(q.p05, 0.0).0 < inside.left {
        let tip = inside.left + 1;
        canvas.polygon(&[(tip, y), (tip + 6, y - 4), (tip + 6, y + 4)], theme::TEXT, 1.0)?;
    }
    if q.nonpositive > 0.0 {
        let percent = q.nonpositive * 100.0;
        let label = if percent < 1.0 {
            "< 1 %".to_string()
        } else {
            format!("{} %", text::decimal(percent, 1.0))
        };
        canvas.print((inside.right + 40, y), &label, theme::TICK, theme::TEXT, Anchor::End)?;
    }
    Ok(())
}
