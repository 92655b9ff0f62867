//! The drawing area that all figures share, with title and legend.

use std::cell::RefCell;
use std::fmt::Write;

use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{Circle, DashedPathElement, PathElement, Polygon, Rectangle, Text};
use plotters::prelude::SVGBackend;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, FontTransform, IntoFont, RGBColor, ShapeStyle, TextStyle};

use crate::legend::Entry;
use crate::theme::{self, Look, Marker};
use crate::{Caption, Result, text};

type Root<'a> = DrawingArea<SVGBackend<'a>, Shift>;

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

/// The margin at the left and right, in pixels.
pub(crate) const MARGIN: i32 = 24;

/// How text is aligned at its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// The drawing area of one figure, in pixels from its top left corner.
pub(crate) struct Canvas<'a> {
    pub(crate) root: Root<'a>,
    /// The area below title and legend.
    pub(crate) free: Frame,
    hovers: RefCell<Vec<(Frame, String)>>,
}

/// Draws a figure of the given height: title, subtitle and legend here, the rest in `body`.
pub(crate) fn draw(
    caption: &Caption,
    height: u32,
    legend: &[Entry],
    body: impl FnOnce(&Canvas<'_>) -> Result<()>,
) -> Result<String> {
    let mut svg = String::new();
    let hovers = {
        let root = SVGBackend::with_string(&mut svg, (theme::WIDTH, height)).into_drawing_area();
        root.fill(&theme::SURFACE)?;
        let free = Frame {
            left: MARGIN,
            top: 16,
            right: theme::WIDTH as i32 - MARGIN,
            bottom: height as i32 - 12,
        };
        let mut canvas = Canvas { root, free, hovers: RefCell::default() };
        canvas.header(caption, legend)?;
        body(&canvas)?;
        canvas.root.present()?;
        canvas.hovers.take()
    };
    Ok(with_metadata(&svg, caption, &hovers))
}

/// The most lines of a title or subtitle; the SVG's own title and description have the full text.
const MOST_LINES: usize = 6;

/// At most `most` of `lines`; the last ends with an ellipsis if there are more.
fn first(mut lines: Vec<String>, most: usize) -> Vec<String> {
    if lines.len() > most {
        lines.truncate(most);
        lines[most - 1] += " …";
    }
    lines
}

/// Adds to plotters' SVG a title, a description, the theme's style sheet, and areas that show a text
/// to a pointer over them.
fn with_metadata(svg: &str, caption: &Caption, hovers: &[(Frame, String)]) -> String {
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
    let mut areas = String::new();
    for (Frame { left, top, right, bottom }, text) in hovers {
        let (width, height, text) = (right - left, bottom - top, escape(text));
        let _ = writeln!(
            areas,
            "<g><title>{text}</title><rect x=\"{left}\" y=\"{top}\" width=\"{width}\" \
             height=\"{height}\" fill=\"none\" pointer-events=\"all\"/></g>"
        );
    }
    // plotters ends each text with a line break, which a selection would copy.
    let svg = svg.replacen("<svg ", &head, 1).replacen(">\n", &inside, 1);
    svg.replace("\n</text>", "</text>").replace("</svg>", &format!("{areas}</svg>"))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The area of a text, by the estimate of its width.
pub(crate) fn area((x, y): (i32, i32), text: &str, size: f64, anchor: Anchor) -> Frame {
    let (width, half) = (text::width(text, size), (size * 0.6) as i32);
    let left = match anchor {
        Anchor::Start => x,
        Anchor::Middle => x - width / 2,
        Anchor::End => x - width,
    };
    Frame { left, top: y - half, right: left + width, bottom: y + half }
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
    fn header(&mut self, caption: &Caption, legend: &[Entry]) -> Result<()> {
        let room = self.free.right - self.free.left;
        for line in first(text::wrap(&caption.title, theme::TITLE * 1.06, room), MOST_LINES) {
            self.free.top += 12;
            self.print_bold((self.free.left, self.free.top), &line, theme::TITLE, Anchor::Start)?;
            self.free.top += 12;
        }
        self.free.top += 3;
        for line in first(text::wrap(&caption.subtitle, theme::LABEL, room), MOST_LINES) {
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

    /// A text that may be short for another, which a pointer over it shows.
    pub(crate) fn print_short(
        &self,
        at: (i32, i32),
        (shown, full): (&str, &str),
        size: f64,
        ink: RGBColor,
        anchor: Anchor,
    ) -> Result<()> {
        self.print(at, shown, size, ink, anchor)?;
        if shown != full {
            self.hover(area(at, shown, size, anchor), full);
        }
        Ok(())
    }

    /// Shows `text` to a pointer over `area`.
    pub(crate) fn hover(&self, area: Frame, text: &str) {
        self.hovers.borrow_mut().push((area, text.to_string()));
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

    /// A text that reads upwards, centred at `at`.
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

    /// A filled polygon, translucent if `opacity` is below 1.
    pub(crate) fn polygon(&self, points: &[(i32, i32)], ink: RGBColor, opacity: f64) -> Result<()> {
        self.root.draw(&Polygon::new(points.to_vec(), ink.mix(opacity).filled()))?;
        Ok(())
    }

    /// A filled rectangle; nothing if it has no area.
    pub(crate) fn rectangle(&self, a: (i32, i32), b: (i32, i32), ink: RGBColor) -> Result<()> {
        if a.0 != b.0 && a.1 != b.1 {
            self.root.draw(&Rectangle::new([a, b], ink.filled()))?;
        }
        Ok(())
    }

    /// A filled rectangle with level stripes so many pixels wide, at such distances from its bottom; plain for 0.
    pub(crate) fn striped(
        &self,
        a: (i32, i32),
        b: (i32, i32),
        ink: RGBColor,
        width: i32,
    ) -> Result<()> {
        self.rectangle(a, b, ink)?;
        let mut bottom = b.1 - width;
        while width > 0 && bottom > a.1 {
            self.rectangle((a.0, (bottom - width).max(a.1)), (b.0, bottom), theme::SURFACE)?;
            bottom -= 2 * width;
        }
        Ok(())
    }

    /// A rectangle's outline.
    pub(crate) fn outline(&self, a: (i32, i32), b: (i32, i32), ink: RGBColor) -> Result<()> {
        self.root.draw(&Rectangle::new([a, b], ink.stroke_width(1)))?;
        Ok(())
    }

    /// A grey hatched cell, for undefined values.
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
}
