//! A drawing read back from its SVG: marks in pixels, and axes to turn them into values.

use packlight_figure::Figure;
use roxmltree::{Document, Node};

/// A point in pixels, from the top left corner.
pub(crate) type Point = (f64, f64);

/// The colours of plans in order; the first is the baseline's.
pub(crate) const PLANS: [&str; 4] = ["#000000", "#0072B2", "#D55E00", "#009E73"];
pub(crate) const TEXT: &str = "#1B1F24";
pub(crate) const MUTED: &str = "#555F6A";
const AXIS: &str = "#98A2AD";

/// A line or the outline of a filled shape.
#[derive(Debug, Clone)]
pub(crate) struct Path {
    pub(crate) points: Vec<Point>,
    pub(crate) color: String,
    pub(crate) width: f64,
    pub(crate) opacity: f64,
}

/// A rectangle, filled or an outline.
#[derive(Debug, Clone)]
pub(crate) struct Rect {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) right: f64,
    pub(crate) bottom: f64,
    pub(crate) color: String,
    pub(crate) filled: bool,
}

impl Rect {
    pub(crate) fn holds(&self, (x, y): Point, around: f64) -> bool {
        (self.left - around..=self.right + around).contains(&x)
            && (self.top - around..=self.bottom + around).contains(&y)
    }
}

/// A text and its anchor.
#[derive(Debug, Clone)]
pub(crate) struct Label {
    pub(crate) at: Point,
    pub(crate) text: String,
    pub(crate) color: String,
    pub(crate) anchor: String,
    pub(crate) size: f64,
    pub(crate) upwards: bool,
}

impl Label {
    /// Its extent along its direction, if letters are half as wide as high.
    pub(crate) fn reach(&self) -> (f64, f64) {
        let length = 0.5 * self.size * self.text.chars().count() as f64;
        let at = if self.upwards { self.at.1 } else { self.at.0 };
        match self.anchor.as_str() {
            "start" => (at, at + length),
            "end" => (at - length, at),
            _ => (at - length / 2.0, at + length / 2.0),
        }
    }
}

/// All marks of a figure in the order in which they were drawn.
#[derive(Debug, Default)]
pub(crate) struct Drawing {
    pub(crate) size: Point,
    pub(crate) lines: Vec<Path>,
    pub(crate) shapes: Vec<Path>,
    pub(crate) rects: Vec<Rect>,
    /// Centres of circles with their colour.
    pub(crate) circles: Vec<(Point, String)>,
    pub(crate) labels: Vec<Label>,
    /// Areas with the text that a pointer over them shows.
    pub(crate) hovers: Vec<(Rect, String)>,
}

impl Drawing {
    /// Reads a figure and checks that all of it is on the sheet.
    pub(crate) fn of(figure: &Figure) -> Self {
        let document = Document::parse(&figure.svg).unwrap();
        let root = document.root_element();
        let size = (number(root, "width"), number(root, "height"));
        let mut drawing = Self { size, ..Self::default() };
        root.children().filter(Node::is_element).for_each(|node| drawing.read(node));
        drawing.check(&figure.id);
        drawing
    }

    fn read(&mut self, node: Node<'_, '_>) {
        let text = |name: &str| node.attribute(name).unwrap_or_default().to_owned();
        let opacity = node.attribute("opacity").map_or(1.0, |value| value.parse().unwrap());
        match node.tag_name().name() {
            "polyline" => {
                let (points, width) = (points(node), number(node, "stroke-width"));
                self.lines.push(Path { points, color: text("stroke"), width, opacity });
            }
            "line" => {
                let end = |i: u8| (number(node, &format!("x{i}")), number(node, &format!("y{i}")));
                let width = number(node, "stroke-width");
                let points = vec![end(1), end(2)];
                self.lines.push(Path { points, color: text("stroke"), width, opacity });
            }
            "polygon" => {
                let points = points(node);
                self.shapes.push(Path { points, color: text("fill"), width: 0.0, opacity });
            }
            "rect" => {
                let filled = text("fill") != "none";
                let color = text(if filled { "fill" } else { "stroke" });
                self.rects.push(Rect { color, filled, ..Rect::of(node) });
            }
            "g" => {
                let part = |name: &str| node.children().find(|n| n.has_tag_name(name)).unwrap();
                let text = part("title").text().unwrap_or_default().to_owned();
                self.hovers.push((Rect::of(part("rect")), text));
            }
            "circle" => self.circles.push(((number(node, "cx"), number(node, "cy")), text("fill"))),
            "text" => self.labels.push(Label {
                at: (number(node, "x"), number(node, "y")),
                text: node.text().unwrap_or_default().trim().to_owned(),
                color: text("fill"),
                anchor: text("text-anchor"),
                size: number(node, "font-size"),
                upwards: text("transform").starts_with("rotate(270"),
            }),
            "title" | "desc" | "style" => {}
            other => panic!("<{other}> is not expected"),
        }
    }

    /// Checks that marks and texts are on the sheet, and data marks within the axes.
    fn check(&self, id: &str) {
        let sheet =
            Rect { left: 0.0, top: 0.0, right: self.size.0, bottom: self.size.1, ..Rect::none() };
        let paths = self.lines.iter().chain(&self.shapes).flat_map(|path| &path.points);
        let corners = self.rects.iter().flat_map(|r| [(r.left, r.top), (r.right, r.bottom)]);
        let circles = self.circles.iter().map(|(at, _)| *at);
        for point in paths.copied().chain(corners).chain(circles) {
            assert!(sheet.holds(point, 0.0), "{id}: {point:?}");
        }
        // Courses, bands and the dots of seeds stay within their axes.
        let courses = self.lines.iter().filter(|l| l.points.len() > 2 && l.color != AXIS);
        let bands = self.shapes.iter().filter(|shape| shape.opacity < 0.5);
        let panels = self.panels();
        for path in courses.chain(bands) {
            let within = |p: &Rect| path.points.iter().all(|point| p.holds(*point, 3.0));
            assert!(panels.iter().any(within), "{id}: {path:?}");
        }
        for label in &self.labels {
            let (from, to) = label.reach();
            let most = if label.upwards { self.size.1 } else { self.size.0 };
            assert!(from >= 0.0 && to <= most, "{id}: {from} to {to} of {most}: {label:?}");
            assert!(sheet.holds(label.at, 0.0), "{id}: {label:?}");
        }
    }

    /// The insides of the pairs of axes, in the order in which they were drawn.
    pub(crate) fn panels(&self) -> Vec<Rect> {
        let corner =
            |line: &&Path| line.color == AXIS && line.points.len() == 3 && line.width == 1.0;
        let inside = |line: &Path| {
            let [(left, top), _, (right, bottom)] = line.points[..] else { panic!() };
            Rect { left, top, right, bottom, ..Rect::none() }
        };
        self.lines.iter().filter(corner).map(inside).collect()
    }

    /// The horizontal axis of a panel, by its ticks.
    pub(crate) fn x_axis(&self, panel: &Rect) -> Axis {
        let ticks = self
            .labels
            .iter()
            .filter(|l| l.color == MUTED && l.anchor == "middle" && l.at.1 == panel.bottom + 11.0);
        let within = ticks.filter(|l| panel.left - 1.0 <= l.at.0 && l.at.0 <= panel.right + 1.0);
        let title = self.labels.iter().find(|l| l.at.1 == panel.bottom + 30.0);
        Axis::new(within.map(|l| (l.at.0, value(&l.text))), title)
    }

    /// The vertical axis of a panel, by its ticks.
    pub(crate) fn y_axis(&self, panel: &Rect) -> Axis {
        let ticks = self
            .labels
            .iter()
            .filter(|l| l.color == MUTED && l.anchor == "end" && l.at.0 == panel.left - 6.0);
        let within = ticks.filter(|l| panel.top - 1.0 <= l.at.1 && l.at.1 <= panel.bottom + 1.0);
        let beside = |l: &&Label| l.upwards && l.at.0 < panel.left && l.at.0 > panel.left - 120.0;
        Axis::new(within.map(|l| (l.at.1, value(&l.text))), self.labels.iter().find(beside))
    }

    /// Lines of a colour and width with all points in `panel`.
    pub(crate) fn lines_in(&self, panel: &Rect, color: &str, width: f64) -> Vec<&Path> {
        let all = self.lines.iter().filter(|line| line.color == color && line.width == width);
        all.filter(|line| line.points.iter().all(|p| panel.holds(*p, 0.0))).collect()
    }

    /// Filled rectangles in `panel` of other colours than `but`.
    pub(crate) fn filled_in(&self, panel: &Rect, but: &[&str]) -> Vec<&Rect> {
        let within =
            |r: &&Rect| panel.holds((r.left, r.top), 0.0) && panel.holds((r.right, r.bottom), 0.0);
        let filled = self.rects.iter().filter(|r| r.filled && !but.contains(&r.color.as_str()));
        filled.filter(within).collect()
    }
}

impl Rect {
    fn of(node: Node<'_, '_>) -> Self {
        let (left, top) = (number(node, "x"), number(node, "y"));
        let (right, bottom) = (left + number(node, "width"), top + number(node, "height"));
        Self { left, top, right, bottom, ..Self::none() }
    }

    fn none() -> Self {
        let color = String::new();
        Self { left: 0.0, top: 0.0, right: 0.0, bottom: 0.0, color, filled: false }
    }
}

/// Turns values into pixels.
#[derive(Debug)]
pub(crate) struct Axis {
    ticks: Vec<(f64, f64)>,
    log: bool,
    /// The value of a tick labelled 1.
    unit: f64,
}

impl Axis {
    /// From the ticks' pixels and values, and the axis's label.
    fn new(ticks: impl Iterator<Item = (f64, f64)>, title: Option<&Label>) -> Self {
        let title = title.map_or("", |label| label.text.as_str());
        let units = [("(B", 0), ("(KiB)", 1), ("(MiB)", 2), ("(GiB)", 3)];
        let power = units.iter().find(|(word, _)| title.contains(word)).map_or(0, |unit| unit.1);
        let ticks: Vec<_> = ticks.collect();
        assert!(ticks.len() > 1, "{title}: {ticks:?}");
        Self { ticks, log: title.contains("log scale"), unit: 1024f64.powi(power) }
    }

    /// The expected pixel of `value`.
    pub(crate) fn at(&self, value: f64) -> f64 {
        let scale = |value: f64| if self.log { value.log10() } else { value };
        let (first, last) = (self.ticks[0], self.ticks[self.ticks.len() - 1]);
        let part = (scale(value / self.unit) - scale(first.1)) / (scale(last.1) - scale(first.1));
        first.0 + part * (last.0 - first.0)
    }

    pub(crate) fn is_log(&self) -> bool {
        self.log
    }

    /// Checks that ticks are evenly spaced.
    pub(crate) fn check(&self) {
        for (pixel, value) in &self.ticks {
            close(*pixel, self.at(value * self.unit), "tick");
        }
    }
}

/// Asserts that two pixels are the same up to rounding.
#[track_caller]
pub(crate) fn close(found: f64, expected: f64, what: &str) {
    assert!((found - expected).abs() <= 1.5, "{what}: {found} found, {expected} expected");
}

/// The brightness of a colour such as `#0072B2`.
pub(crate) fn brightness(color: &str) -> f64 {
    let [r, g, b] = channels(color);
    0.2126 * r + 0.7152 * g + 0.0722 * b
}

/// Red, green and blue of a colour.
pub(crate) fn channels(color: &str) -> [f64; 3] {
    [1, 3, 5].map(|at| f64::from(u8::from_str_radix(&color[at..at + 2], 16).unwrap()))
}

fn number(node: Node<'_, '_>, name: &str) -> f64 {
    node.attribute(name).unwrap_or_else(|| panic!("{name} of {node:?}")).parse().unwrap()
}

fn value(text: &str) -> f64 {
    text.replace('−', "-").parse().unwrap()
}

fn points(node: Node<'_, '_>) -> Vec<Point> {
    let pairs = node.attribute("points").unwrap().split_whitespace();
    let point = |pair: &str| {
        let (x, y) = pair.split_once(',').unwrap();
        (x.parse().unwrap(), y.parse().unwrap())
    };
    pairs.map(point).collect()
}
