//! What all figures share: the sheet with its title and legend, and panels with axes.

use plotters::chart::{ChartBuilder, ChartContext, LabelAreaPosition};
use plotters::coord::Shift;
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::types::RangedCoordf64;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{Circle, DashedPathElement, PathElement, Polygon, Rectangle, Text};
use plotters::prelude::SVGBackend;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, FontTransform, IntoFont, RGBColor, ShapeStyle, TextStyle};

use crate::axis::Axis;
use crate::theme::{self, Look, Marker};
use crate::{Caption, Result, text};

type Root<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Ranged = RangedCoordf64;

/// A rectangle in pixels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) left: i32,
    pub(crate) top: i32,
    pub(crate) right: i32,
    pub(crate) bottom: i32,
}

impl Frame {
    /// Splits it into `rows` x `columns` with `gap` pixels between them, row by row.
    pub(crate) fn grid(self, rows: usize, columns: usize, gap: i32) -> Vec<Frame> {
        let part = |from: i32, to: i32, count: usize, i: usize| {
            let size = (to - from - gap * (count as i32 - 1)) / count as i32;
            let start = from + i as i32 * (size + gap);
            (start, start + size)
        };
        (0..rows * columns)
            .map(|i| {
                let (left, right) = part(self.left, self.right, columns, i % columns);
                let (top, bottom) = part(self.top, self.bottom, rows, i / columns);
                Frame { left, top, right, bottom }
            })
            .collect()
    }
}

/// Where a text stands relative to its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// The drawing area of one figure, in pixels from its top left corner.
pub(crate) struct Canvas<'a> {
    root: Root<'a>,
    /// What the title and the legend leave free.
    pub(crate) free: Frame,
}

/// Draws a figure of the given height: title, subtitle and legend by itself, the rest by `body`.
pub(crate) fn draw(
    caption: &Caption,
    height: u32,
    legend: &[(String, Look, Key)],
    body: impl FnOnce(&Canvas<'_>) -> Result<()>,
) -> Result<String> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (theme::WIDTH, height)).into_drawing_area();
        root.fill(&theme::SURFACE)?;
        let free = Frame {
            left: 24,
            top: 16,
            right: theme::WIDTH as i32 - 24,
            bottom: height as i32 - 12,
        };
        let mut canvas = Canvas { root, free };
        canvas.header(caption, legend)?;
        body(&canvas)?;
        canvas.root.present()?;
    }
    Ok(dress(&svg, caption))
}

/// How a legend shows an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Line,
    Dashed,
    Fill,
    Outline,
}

/// Adds to plotters' SVG what makes it accessible and lets it change with the colour scheme.
fn dress(svg: &str, caption: &Caption) -> String {
    let id = escape(&caption.id);
    let head = format!(
        "<svg class=\"packlight-figure\" role=\"img\" aria-labelledby=\"{id}-title {id}-desc\" "
    );
    let inside = format!(
        ">\n<title id=\"{id}-title\">{}</title>\n<desc id=\"{id}-desc\">{}</desc>\n<style>{}</style>\n",
        escape(&caption.title),
        escape(&caption.subtitle),
        theme::style_sheet(),
    );
    // plotters ends each text with a line break, which a selection would copy.
    svg.replacen("<svg ", &head, 1).replacen(">\n", &inside, 1).replace("\n</text>", "</text>")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn font<'a>(size: f64, ink: RGBColor, anchor: Anchor, bold: bool) -> TextStyle<'a> {
    let h_pos = match anchor {
        Anchor::Start => HPos::Left,
        Anchor::Middle => HPos::Center,
        Anchor::End => HPos::Right,
    };
    let style = if bold { FontStyle::Bold } else { FontStyle::Normal };
    // plotters divides a font's size by 1.24 when it writes an SVG.
    TextStyle {
        font: ("sans-serif", size * 1.24).into_font().style(style),
        color: ink.to_backend_color(),
        pos: Pos::new(h_pos, VPos::Center),
    }
}

impl<'a> Canvas<'a> {
    fn header(&mut self, caption: &Caption, legend: &[(String, Look, Key)]) -> Result<()> {
        let room = self.free.right - self.free.left;
        for line in text::wrap(&caption.title, theme::TITLE * 1.06, room) {
            self.free.top += 12;
            self.print_bold((self.free.left, self.free.top), &line, theme::TITLE, Anchor::Start)?;
            self.free.top += 12;
        }
        self.free.top += 3;
        for line in text::wrap(&caption.subtitle, theme::LABEL, room) {
            self.free.top += 9;
            let at = (self.free.left, self.free.top);
            self.print(at, &line, theme::LABEL, theme::MUTED, Anchor::Start)?;
            self.free.top += 9;
        }
        if !legend.is_empty() {
            self.legend(legend)?;
        }
        self.free.top += 10;
        Ok(())
    }

    fn legend(&mut self, entries: &[(String, Look, Key)]) -> Result<()> {
        let mut x = self.free.left;
        let mut y = self.free.top + 18;
        for (name, look, key) in entries {
            let width = 34 + text::width(name, theme::LABEL) + 18;
            if x > self.free.left && x + width > self.free.right {
                x = self.free.left;
                y += 20;
            }
            match key {
                Key::Line | Key::Dashed => {
                    let ends = [(x, y), (x + 26, y)];
                    self.path(&ends, look.ink, 2, *key == Key::Dashed)?;
                    if *key == Key::Line {
                        self.mark((x + 13, y), *look, 4)?;
                    }
                }
                Key::Fill => self.rectangle((x + 4, y - 6), (x + 22, y + 6), look.ink)?,
                Key::Outline => self.outline((x + 4, y - 6), (x + 22, y + 6), look.ink)?,
            }
            self.print((x + 34, y), name, theme::LABEL, theme::TEXT, Anchor::Start)?;
            x += width;
        }
        self.free.top = y + 14;
        Ok(())
    }

    /// A text, centred in height on `at`.
    pub(crate) fn print(
        &self,
        at: (i32, i32),
        text: &str,
        size: f64,
        ink: RGBColor,
        anchor: Anchor,
    ) -> Result<()> {
        self.root.draw(&Text::new(text.to_string(), at, font(size, ink, anchor, false)))?;
        Ok(())
    }

    /// A text in bold.
    pub(crate) fn print_bold(
        &self,
        at: (i32, i32),
        text: &str,
        size: f64,
        anchor: Anchor,
    ) -> Result<()> {
        self.root.draw(&Text::new(text.to_string(), at, font(size, theme::TEXT, anchor, true)))?;
        Ok(())
    }

    /// A text that reads upwards, centred on `at`.
    pub(crate) fn print_upwards(&self, at: (i32, i32), text: &str, size: f64) -> Result<()> {
        let style =
            font(size, theme::TEXT, Anchor::Middle, false).transform(FontTransform::Rotate270);
        self.root.draw(&Text::new(text.to_string(), at, style))?;
        Ok(())
    }

    /// A line through `points`.
    pub(crate) fn path(
        &self,
        points: &[(i32, i32)],
        ink: RGBColor,
        width: u32,
        dashed: bool,
    ) -> Result<()> {
        let style = ink.stroke_width(width);
        if dashed {
            self.root.draw(&DashedPathElement::new(points.to_vec(), 6, 4, style))?;
        } else {
            self.root.draw(&PathElement::new(points.to_vec(), style))?;
        }
        Ok(())
    }

    /// A filled shape, see-through where `opacity` is below 1.
    pub(crate) fn polygon(&self, points: &[(i32, i32)], ink: RGBColor, opacity: f64) -> Result<()> {
        self.root.draw(&Polygon::new(points.to_vec(), ink.mix(opacity).filled()))?;
        Ok(())
    }

    /// A filled rectangle; one of no area is not drawn.
    pub(crate) fn rectangle(&self, a: (i32, i32), b: (i32, i32), ink: RGBColor) -> Result<()> {
        if a.0 != b.0 && a.1 != b.1 {
            self.root.draw(&Rectangle::new([a, b], ink.filled()))?;
        }
        Ok(())
    }

    /// A rectangle's outline.
    pub(crate) fn outline(&self, a: (i32, i32), b: (i32, i32), ink: RGBColor) -> Result<()> {
        self.root.draw(&Rectangle::new([a, b], ink.stroke_width(1)))?;
        Ok(())
    }

    /// A grey cell with diagonals: what is undefined.
    pub(crate) fn hatch(&self, a: (i32, i32), b: (i32, i32)) -> Result<()> {
        self.rectangle(a, b, theme::UNDEFINED)?;
        let (width, height) = (b.0 - a.0, b.1 - a.1);
        let count = (width / (height * 2).max(1)).max(1);
        for i in 0..count {
            let (left, right) = (a.0 + width * i / count, a.0 + width * (i + 1) / count);
            self.path(&[(left, b.1), (right, a.1)], theme::MUTED, 1, false)?;
        }
        Ok(())
    }

    /// A marker of `radius` pixels.
    pub(crate) fn mark(&self, (x, y): (i32, i32), look: Look, radius: i32) -> Result<()> {
        let r = radius;
        let ink: ShapeStyle = look.ink.filled();
        let shape = match look.marker {
            Marker::Circle => {
                self.root.draw(&Circle::new((x, y), r, ink))?;
                return Ok(());
            }
            Marker::Cross | Marker::Plus => {
                let ends = match look.marker {
                    Marker::Cross => {
                        [[(x - r, y - r), (x + r, y + r)], [(x - r, y + r), (x + r, y - r)]]
                    }
                    _ => [[(x - r, y), (x + r, y)], [(x, y - r), (x, y + r)]],
                };
                for ends in ends {
                    self.path(&ends, look.ink, 2, false)?;
                }
                return Ok(());
            }
            Marker::Square => vec![(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)],
            Marker::Triangle => vec![(x, y - r - 1), (x + r + 1, y + r), (x - r - 1, y + r)],
            Marker::Nabla => vec![(x, y + r + 1), (x + r + 1, y - r), (x - r - 1, y - r)],
            Marker::Diamond => {
                vec![(x, y - r - 1), (x + r + 1, y), (x, y + r + 1), (x - r - 1, y)]
            }
        };
        self.polygon(&shape, look.ink, 1.0)
    }

    /// A panel within `frame`: the axes and their labels are drawn, the inside is left to the
    /// caller. Where `y` has no ticks, `margin` pixels are left for what the caller writes there.
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

/// A pair of axes on a canvas, and what is drawn in their coordinates.
pub(crate) struct Panel<'c, 'a> {
    canvas: &'c Canvas<'a>,
    x: Axis,
    y: Axis,
    chart: ChartContext<'a, SVGBackend<'a>, Cartesian2d<Ranged, Ranged>>,
}

impl Panel<'_, '_> {
    /// The pixel at which a value stands.
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

    /// A heading above the panel's inside, at its left end.
    pub(crate) fn heading(&self, text: &str) -> Result<()> {
        let inside = self.inside();
        self.canvas.print_bold((inside.left, inside.top - 11), text, theme::LABEL, Anchor::Start)
    }

    /// A line through `(x, y)` that is broken where `y` is not finite.
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
            if points.len() > 1 {
                self.canvas.path(&points, ink, width, dashed)?;
            }
        }
        Ok(())
    }

    /// A see-through band between two lines, broken where either is not finite.
    pub(crate) fn band(&self, x: &[f64], low: &[f64], high: &[f64], ink: RGBColor) -> Result<()> {
        let both: Vec<f64> = low.iter().zip(high).map(|(l, h)| l + h).collect();
        for part in parts(&both) {
            let mut points: Vec<_> = part.clone().map(|i| self.at(x[i], high[i])).collect();
            points.extend(part.clone().rev().map(|i| self.at(x[i], low[i])));
            if part.len() > 1 {
                self.canvas.polygon(&points, ink, 0.18)?;
            }
        }
        Ok(())
    }

    /// Markers at up to about `most` of the points, always at the first and the last.
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

/// The longest runs of indices whose values are finite.
fn parts(values: &[f64]) -> Vec<std::ops::Range<usize>> {
    let mut parts: Vec<std::ops::Range<usize>> = Vec::new();
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
