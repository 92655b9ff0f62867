//! Quantities against epoch or step: one line for each plan, with mean and range over seeds.

use crate::axis::Axis;
use crate::canvas::draw;
use crate::data::{data, number};
use crate::legend::{Entry, Key};
use crate::names::Names;
use crate::theme::Look;
use crate::{Caption, Figure, Result, check, mean_and_range, not_empty, theme};

const HOW_TO_READ: &str = "Each line is the mean over the seeds of one plan; the band around it \
    reaches from the lowest to the highest seed, and n is the number of seeds. Dashed lines belong \
    to the plan of the same colour. Nothing is smoothed; a missing value breaks the line. A value without \
    neighbours is a short line, and its range a bar.";

/// One plan's line in a panel.
#[derive(Debug, Clone)]
pub struct Line<'a> {
    name: &'a str,
    x: &'a [f64],
    seeds: &'a [Vec<f64>],
    dashed: Option<&'a str>,
    look: Option<Look>,
    aside: bool,
}

impl<'a> Line<'a> {
    /// A line from each seed's values at each of `x`; NaN where a seed has none.
    #[must_use]
    pub fn new(name: &'a str, x: &'a [f64], seeds: &'a [Vec<f64>]) -> Self {
        Self { name, x, seeds, dashed: None, look: None, aside: false }
    }

    /// Makes the line dashed and without a band, for a second `quantity` of the same plan.
    #[must_use]
    pub fn dashed(mut self, quantity: &'a str) -> Self {
        self.dashed = Some(quantity);
        self
    }

    /// Gives the line a look, instead of that of its place among the figure's plans.
    #[must_use]
    pub fn look(mut self, look: Look) -> Self {
        self.look = Some(look);
        self
    }

    /// Makes the line grey, thin and without a band, for a plan that others are compared with.
    #[must_use]
    pub fn aside(mut self) -> Self {
        self.aside = true;
        self
    }
}

/// One pair of axes with its lines.
#[derive(Debug, Clone)]
pub struct Panel<'a> {
    x_label: &'a str,
    y_label: &'a str,
    lines: Vec<Line<'a>>,
    log: bool,
    unit_range: bool,
}

impl<'a> Panel<'a> {
    /// An empty panel; the labels name quantity and unit.
    #[must_use]
    pub fn new(x_label: &'a str, y_label: &'a str) -> Self {
        Self { x_label, y_label, lines: Vec::new(), log: false, unit_range: false }
    }

    /// Adds a line. Lines of the same name share a look, that of the first.
    #[must_use]
    pub fn line(mut self, line: Line<'a>) -> Self {
        self.lines.push(line);
        self
    }

    /// Makes the y axis logarithmic.
    #[must_use]
    pub fn log(mut self) -> Self {
        self.log = true;
        self
    }

    /// Ends the y axis at 1, for fractions.
    #[must_use]
    pub fn fraction(mut self) -> Self {
        self.unit_range = true;
        self
    }

    fn axes(&self) -> (Axis, Axis) {
        let x = self.lines.iter().flat_map(|l| l.x.iter().copied());
        let (_, first, last) = mean_and_range(x);
        let y = self.lines.iter().flat_map(|l| l.seeds.iter().flatten().copied());
        let (_, low, high) = mean_and_range(y.filter(|y| !self.log || *y > 0.0));
        let mut y = if self.log {
            Axis::log(self.y_label, low, high)
        } else {
            Axis::linear(self.y_label, low, high, 6)
        };
        if self.unit_range {
            y = y.until(1.0);
        }
        (Axis::whole(self.x_label, first, last, 7), y)
    }
}

/// Draws panels side by side with one legend; each plan keeps its colour and marker in all.
///
/// # Errors
/// Returns an error if there is no panel, a panel has no line, or a seed does not have one value
/// for each of `x`.
pub fn curves(caption: &Caption, panels: &[Panel<'_>]) -> Result<Figure> {
    not_empty(caption, "panel", panels.len())?;
    let mut names: Vec<&str> = Vec::new();
    let mut data = data(&["quantity", "plan", "seed_index", "x", "value"])?;
    for panel in panels {
        not_empty(caption, "line", panel.lines.len())?;
        for line in &panel.lines {
            if !names.contains(&line.name) {
                names.push(line.name);
            }
            let quantity = line.dashed.unwrap_or(panel.y_label);
            for (seed, values) in line.seeds.iter().enumerate() {
                check(caption, line.name, line.x.len(), values.len())?;
                for (x, value) in line.x.iter().zip(values) {
                    data.write_record([
                        quantity.to_string(),
                        line.name.to_string(),
                        seed.to_string(),
                        number(*x),
                        number(*value),
                    ])?;
                }
            }
        }
    }
    let shown = Names::new(names.iter().copied(), theme::LABEL, theme::NAME);
    let of = |name: &str| -> Vec<&Line<'_>> {
        panels.iter().flat_map(|p| &p.lines).filter(|l| l.name == name).collect()
    };
    let look = |name: &str| {
        let place = names.iter().position(|n| *n == name).unwrap_or_default();
        let look = of(name).iter().find_map(|l| l.look).unwrap_or(theme::plan(place));
        if of(name).iter().any(|l| l.aside) { Look { ink: theme::MUTED, ..look } } else { look }
    };
    let entry = |(i, name): (usize, &&str)| {
        let n = of(name).iter().map(|l| l.seeds.len()).max().unwrap_or(0);
        let aside = if of(name).iter().any(|l| l.aside) { ", for comparison" } else { "" };
        let text = |name: &str| format!("{name} (n = {n}){aside}");
        Entry::new(text(shown.at(i)), look(name), Key::Line).hover(text(name))
    };
    let legend: Vec<_> = names.iter().enumerate().map(entry).collect();
    let svg = draw(caption, theme::HEIGHT, &legend, |canvas| {
        for (frame, spec) in canvas.free.grid(1, panels.len(), 28).into_iter().zip(panels) {
            let (x, y) = spec.axes();
            let panel = canvas.panel(frame, &x, &y, 0)?;
            let means: Vec<(Vec<f64>, Vec<f64>, Vec<f64>)> = spec
                .lines
                .iter()
                .map(|line| {
                    let at = |i: usize| {
                        mean_and_range(line.seeds.iter().map(|s| drawable(s[i], spec.log)))
                    };
                    let all: Vec<_> = (0..line.x.len()).map(at).collect();
                    (
                        all.iter().map(|s| s.0).collect(),
                        all.iter().map(|s| s.1).collect(),
                        all.iter().map(|s| s.2).collect(),
                    )
                })
                .collect();
            for (line, (_, low, high)) in spec.lines.iter().zip(&means) {
                if line.dashed.is_none() && !line.aside {
                    panel.band(line.x, low, high, look(line.name).ink)?;
                }
            }
            for (line, (mean, ..)) in spec.lines.iter().zip(&means) {
                let thin = line.dashed.is_some() || line.aside;
                let (width, dashed) = (if thin { 1 } else { 2 }, line.dashed.is_some());
                panel.line(line.x, mean, look(line.name).ink, width, dashed)?;
                if line.dashed.is_none() {
                    panel.marks(line.x, mean, look(line.name), 9)?;
                }
            }
        }
        Ok(())
    })?;
    caption.figure(svg, data, format!("{HOW_TO_READ}{}", shown.key()))
}

/// A logarithmic axis cannot show values that are not positive.
fn drawable(value: f64, log: bool) -> f64 {
    if log && value <= 0.0 { f64::NAN } else { value }
}
