//! Two measurements of the same things side by side: a row for each thing, a column for each quantity.

use crate::axis::Axis;
use crate::canvas::{Canvas, Frame, draw};
use crate::data::{data, number};
use crate::legend::{Entry, Key};
use crate::names::Names;
use crate::panel::Panel;
use crate::rows::Rows;
use crate::theme::{self, Look};
use crate::{Caption, Figure, Result, check, mean_and_range, not_empty, text};

/// A value with its interval; both ends are the value where there is none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The value.
    pub value: f64,
    /// The lower end of its interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// One thing in both measurements.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// In the first and in the second.
    pub ends: [Spread; 2],
    /// Whether the change exceeds the noise.
    pub exceeds: bool,
    /// The change in words, for a pointer over it.
    pub said: String,
}

/// A quantity, and its pair in each row; `None` if it was not measured in both.
#[derive(Debug, Clone, Copy)]
pub struct PairColumn<'a> {
    /// Its name.
    pub name: &'a str,
    /// One for each row.
    pub pairs: &'a [Option<Pair>],
}

/// The axis of all values.
#[derive(Debug, Clone, Copy)]
pub enum PairAxis<'a> {
    /// Linear.
    Linear(&'a str),
    /// Logarithmic; values that are not above 0 are not drawn.
    Log(&'a str),
}

const HOW_TO_READ: &str = "A row for each line of the table, and two markers in it: what the first study \
    measured, and a little below it what the second one did, each with its 95 % interval where it has \
    one. The line between the markers is solid where the change exceeds the noise, and dashed where it \
    does not. A pointer over a row tells its numbers.";

const ROW: i32 = 22;
/// Pixels of the first marker above, and of the second below, the middle of the row.
const APART: i32 = 4;

/// Draws the pairs of two measurements with the names `sides`.
///
/// # Errors
/// Returns an error if there is no row or no pair that can be drawn, or a column does not have one entry
/// for each row.
pub fn side_by_side(
    caption: &Caption,
    sides: [&str; 2],
    axis: PairAxis<'_>,
    rows: &[&str],
    columns: &[PairColumn<'_>],
) -> Result<Figure> {
    not_empty(caption, "row", rows.len())?;
    let header = ["row", "quantity", "study", "value", "low", "high", "exceeds_noise"];
    let mut data = data(&header)?;
    for column in columns {
        check(caption, column.name, rows.len(), column.pairs.len())?;
        for (row, pair) in rows.iter().zip(column.pairs) {
            let Some(pair) = pair else { continue };
            for (side, end) in sides.iter().zip(&pair.ends) {
                let names = [row, column.name, side].map(str::to_owned).into_iter();
                let numbers = [end.value, end.low, end.high].map(number);
                data.write_record(names.chain(numbers).chain([pair.exceeds.to_string()]))?;
            }
        }
    }
    let drawn = |pair: &&Pair| pair.ends.iter().all(|end| axis.holds(end.value));
    let pairs = || columns.iter().flat_map(|column| column.pairs).flatten().filter(drawn);
    not_empty(caption, "pair", pairs().count())?;
    let ends = pairs().flat_map(|pair| &pair.ends).flat_map(|end| [end.low, end.value, end.high]);
    let (_, low, high) = mean_and_range(ends.filter(|value| axis.holds(*value)));
    let x = match axis {
        PairAxis::Linear(label) => Axis::linear(label, low, high, 5),
        PairAxis::Log(label) => Axis::log(label, low * 0.9, high * 1.1),
    };
    let layout = Rows { layers: rows, columns: columns.len(), row_height: ROW, aside: 12 };
    let looks = [theme::plan(1), theme::plan(2)];
    let shown = Names::new(sides, theme::LABEL, theme::NAME);
    let mut legend: Vec<Entry> = looks
        .iter()
        .enumerate()
        .map(|(i, look)| Entry::new(shown.at(i), *look, Key::Mark).hover(shown.full(i)))
        .collect();
    let line = Look { ink: theme::MUTED, marker: looks[0].marker };
    legend.push(Entry::new("change within the noise", line, Key::Dashed));
    let names = Names::new(
        columns.iter().map(|column| column.name),
        theme::LABEL * 1.1,
        layout.heading_room(20),
    );
    let headings: Vec<(String, String)> =
        (0..columns.len()).map(|i| (names.at(i).to_owned(), names.full(i).to_owned())).collect();
    let svg = draw(caption, layout.height(), &legend, |canvas| {
        layout.draw(canvas, &x, &headings, |panel, column| {
            for (row, pair) in columns[column].pairs.iter().enumerate() {
                if let Some(pair) = pair.as_ref().filter(drawn) {
                    let middle = layout.middle(panel, row);
                    let hover = format!("{}, {}: {}", rows[row], columns[column].name, pair.said);
                    dumbbell(canvas, panel, middle, (pair, axis), looks)?;
                    let Frame { left, right, .. } = panel.inside();
                    let (top, bottom) = (middle - ROW / 2 + 1, middle + ROW / 2 - 1);
                    canvas.hover(Frame { left, top, right, bottom }, &hover);
                }
            }
            Ok(())
        })
    })?;
    caption.figure(svg, data, format!("{HOW_TO_READ}{}", shown.key()))
}

/// Both markers of a pair with their intervals, and the line between them.
fn dumbbell(
    canvas: &Canvas<'_>,
    panel: &Panel<'_, '_>,
    middle: i32,
    (pair, axis): (&Pair, PairAxis<'_>),
    looks: [Look; 2],
) -> Result<()> {
    let inside = panel.inside();
    let x = |value: f64| match axis.holds(value) {
        true => panel.at(value, 0.0).0,
        false => inside.left, // an interval that reaches 0 on a logarithmic axis
    };
    let heights = [middle - APART, middle + APART];
    let at = [0, 1].map(|side| (x(pair.ends[side].value), heights[side]));
    canvas.path(&at, theme::MUTED, 1 + u32::from(pair.exceeds), !pair.exceeds)?;
    for side in [0, 1] {
        let Spread { low, high, .. } = pair.ends[side];
        let ends = [(x(low), heights[side]), (x(high), heights[side])];
        if ends[0] != ends[1] {
            canvas.path(&ends, looks[side].ink, 1, false)?;
        }
        canvas.mark(at[side], looks[side], 4)?;
    }
    Ok(())
}

impl PairAxis<'_> {
    fn holds(self, value: f64) -> bool {
        match self {
            PairAxis::Linear(_) => value.is_finite(),
            PairAxis::Log(_) => value.is_finite() && value > 0.0,
        }
    }
}

impl Spread {
    /// A value without an interval.
    #[must_use]
    pub fn exact(value: f64) -> Self {
        Self { value, low: value, high: value }
    }

    /// The value, and its interval where it has one: `0.120 (0.100 to 0.140)`.
    #[must_use]
    pub fn said(&self) -> String {
        let [value, low, high] = [self.value, self.low, self.high].map(text::significant);
        match self.low == self.high {
            true => value,
            false => format!("{value} ({low} to {high})"),
        }
    }
}
