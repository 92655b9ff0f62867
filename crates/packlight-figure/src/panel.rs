//! A pair of axes, and drawing in their coordinates.

use std::ops::Range;

use plotters::chart::{ChartBuilder, ChartContext, LabelAreaPosition};
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::SVGBackend;
use plotters::style::RGBColor;

use crate::Result;
use crate::axis::Axis;
use crate::canvas::{Anchor, Canvas, Frame, area};
use crate::theme::{self, Look};

type Chart<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

impl<'a> Canvas<'a> {
    /// A panel within `frame`, with its axes and their labels drawn. If `y` has no ticks, `margin`
    /// pixels at the left are left free for the caller.
    pub(crate) fn panel<'c>(
        &'c self,
        frame: Frame,
        x: &Axis,
        y: &Axis,
        margin: i32,
    ) -> Result<Panel<'c, 'a>> {
        let area = self
            .root
            .clone()
            .shrink((frame.left, frame.top), (frame.right - frame.left, frame.bottom - frame.top));
        let y_title = if y.label.is_empty() { 0 } else { 20 };
        let x_title = if x.label.is_empty() { 0 } else { 20 };
        let left =
            if y.ticks.is_empty() { margin } else { y.tick_width(theme::TICK) + 9 + y_title };
        let bottom = 20 + x_title;
        let chart = ChartBuilder::on(&area)
            .set_label_area_size(LabelAreaPosition::Left, left)
            .set_label_area_size(LabelAreaPosition::Bottom, bottom)
            .build_cartesian_2d(x.low..x.high, y.low..y.high)?;
        let panel = Panel { canvas: self, x: x.clone(), y: y.clone(), chart };
        panel.axes()?;
        Ok(panel)
    }
}

/// How far a mark of a point without neighbours reaches to either side.
const ALONE: i32 = 8;

/// A pair of axes on a canvas.
pub(crate) struct Panel<'c, 'a> {
    canvas: &'c Canvas<'a>,
    x: Axis,
    y: Axis,
    chart: Chart<'a>,
}

impl Panel<'_, '_> {
    /// The pixel of a point.
    pub(crate) fn at(&self, x: f64, y: f64) -> (i32, i32) {
        self.chart.backend_coord(&(self.x.at(x), self.y.at(y)))
    }

    /// The inside of the axes in pixels.
    pub(crate) fn inside(&self) -> Frame {
        let (x, y) = self.chart.plotting_area().get_pixel_range();
        Frame { left: x.start, top: y.start, right: x.end, bottom: y.end }
    }

    fn axes(&self) -> Result<()> {
        let inside = self.inside();
        let mid = |a: i32, b: i32| (a + b) / 2;
        for (at, label) in &self.x.ticks {
            let (x, _) = self.chart.backend_coord(&(*at, self.y.low));
            self.canvas.path(&[(x, inside.top), (x, inside.bottom)], theme::GRID, 1, false)?;
            let below = (x, inside.bottom + 11);
            self.canvas.print(below, label, theme::TICK, theme::MUTED, Anchor::Middle)?;
        }
        for (at, label) in &self.y.ticks {
            let (_, y) = self.chart.backend_coord(&(self.x.low, *at));
            self.canvas.path(&[(inside.left, y), (inside.right, y)], theme::GRID, 1, false)?;
            let beside = (inside.left - 6, y);
            self.canvas.print(beside, label, theme::TICK, theme::MUTED, Anchor::End)?;
        }
        let corner = [
            (inside.left, inside.top),
            (inside.left, inside.bottom),
            (inside.right, inside.bottom),
        ];
        self.canvas.path(&corner, theme::AXIS, 1, false)?;
        if !self.x.label.is_empty() {
            let below = (mid(inside.left, inside.right), inside.bottom + 30);
            self.canvas.print(below, &self.x.label, theme::LABEL, theme::TEXT, Anchor::Middle)?;
        }
        if !self.y.label.is_empty() {
            let x = inside.left - 9 - self.y.tick_width(theme::TICK) - 10;
            let at = (x, mid(inside.top, inside.bottom));
            self.canvas.print_upwards(at, &self.y.label, theme::LABEL)?;
        }
        Ok(())
    }

    /// A heading above the panel's inside, at its left end; it may be short for `full`.
    pub(crate) fn heading(&self, shown: &str, full: &str) -> Result<()> {
        let at = (self.inside().left, self.inside().top - 11);
        self.canvas.print_bold(at, shown, theme::LABEL, Anchor::Start)?;
        if shown != full {
            self.canvas.hover(area(at, shown, theme::LABEL * 1.1, Anchor::Start), full);
        }
        Ok(())
    }

    /// A line through `(x, y)` that is broken where `y` is not finite; a single point is a short one.
    pub(crate) fn line(
        &self,
        x: &[f64],
        y: &[f64],
        ink: RGBColor,
        width: u32,
        dashed: bool,
    ) -> Result<()> {
        for part in parts(y) {
            let points: Vec<_> = part.map(|i| self.at(x[i], y[i])).collect();
            match points[..] {
                [(x, y)] => {
                    self.canvas.path(&[(x - ALONE, y), (x + ALONE, y)], ink, width, false)?
                }
                _ => self.canvas.path(&points, ink, width, dashed)?,
            }
        }
        Ok(())
    }

    /// A translucent band between two lines, broken where either is not finite; a bar for a single point.
    pub(crate) fn band(&self, x: &[f64], low: &[f64], high: &[f64], ink: RGBColor) -> Result<()> {
        let both: Vec<f64> = low.iter().zip(high).map(|(l, h)| l + h).collect();
        for part in parts(&both) {
            let mut points: Vec<_> = part.clone().map(|i| self.at(x[i], high[i])).collect();
            points.extend(part.rev().map(|i| self.at(x[i], low[i])));
            if let [(x, top), (_, bottom)] = points[..] {
                let (left, right) = (x - ALONE, x + ALONE);
                points = vec![(left, top), (right, top), (right, bottom), (left, bottom)];
            }
            self.canvas.polygon(&points, ink, 0.18)?;
        }
        Ok(())
    }

    /// Markers at about `most` of the points, the first and the last included.
    pub(crate) fn marks(&self, x: &[f64], y: &[f64], look: Look, most: usize) -> Result<()> {
        let every = x.len().div_ceil(most).max(1);
        for i in (0..x.len()).filter(|i| i % every == 0 || i + 1 == x.len()) {
            if y[i].is_finite() {
                self.canvas.mark(self.at(x[i], y[i]), look, 3)?;
            }
        }
        Ok(())
    }

    /// A horizontal line over the whole width.
    pub(crate) fn level(&self, y: f64, ink: RGBColor, dashed: bool) -> Result<()> {
        let (left, right) = (self.inside().left, self.inside().right);
        let (_, y) = self.chart.backend_coord(&(self.x.low, self.y.at(y)));
        self.canvas.path(&[(left, y), (right, y)], ink, 1, dashed)
    }

    /// A vertical line over the whole height.
    pub(crate) fn upright(&self, x: f64, ink: RGBColor, dashed: bool) -> Result<()> {
        let (top, bottom) = (self.inside().top, self.inside().bottom);
        let (x, _) = self.chart.backend_coord(&(self.x.at(x), self.y.low));
        self.canvas.path(&[(x, top), (x, bottom)], ink, 1, dashed)
    }
}

/// The ranges of consecutive indices whose values are finite.
fn parts(values: &[f64]) -> Vec<Range<usize>> {
    let mut parts: Vec<Range<usize>> = Vec::new();
    for i in (0..values.len()).filter(|&i| values[i].is_finite()) {
        match parts.last_mut() {
            Some(part) if part.end == i => part.end = i + 1,
            _ => parts.push(i..i + 1),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_splits_a_line() {
        let nan = f64::NAN;
        assert_eq!(parts(&[1.0, 2.0, nan, 3.0, nan, nan, 4.0, 5.0]), [0..2, 3..4, 6..8]);
        assert!(parts(&[nan]).is_empty());
    }
}
