//! The error of the whole gradient as a heatmap: layers by codecs.

use plotters::style::RGBColor;

use crate::axis::{Axis, binary};
use crate::canvas::{Anchor, Canvas, Frame, draw};
use crate::columns::names_below;
use crate::data::{data, number};
use crate::error_scale::ErrorScale;
use crate::names::Names;
use crate::{Caption, Figure, Result, check, layers, not_empty, text, theme};

/// What was measured of one codec at one layer, all other layers exact.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerError {
    /// The error of the whole gradient, relative to its norm.
    pub error: f64,
    /// The lower end of its 95 % interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// The number of measurements.
    pub n: u64,
    /// Bytes that the codec keeps of the layer's input.
    pub kept: f64,
}

impl LayerError {
    /// Value, interval, n and bytes, as a pointer shows them.
    pub(crate) fn said(&self) -> String {
        let (error, kept) = (text::significant(self.error), binary(self.kept));
        let interval = text::interval(self.low, self.high, self.n);
        format!("error {error} ({interval}), keeps {kept}")
    }
}

/// A layer and what each codec does there.
#[derive(Debug, Clone, Copy)]
pub struct ErrorRow<'a> {
    /// The layer's name.
    pub layer: &'a str,
    /// The bytes of its input, uncompressed.
    pub raw: f64,
    /// Whether its exact gradient is at the numerical floor, so that its errors say nothing.
    pub at_floor: bool,
    /// For each codec what was measured; `None` if nothing was.
    pub cells: &'a [Option<LayerError>],
}

const HOW_TO_READ: &str = "A row for each layer, the input at the top, and a column for each codec: the \
    lasting error of the whole gradient where this layer alone is compressed by this codec, as \
    the root of the mean square over batches, draws, seeds and points of training. The darker, the \
    larger the error. A gap means that the codec was not measured there; hatched rows are layers whose \
    own gradient is at the numerical floor, so that its error says nothing. A pointer over a cell \
    shows its 95 % interval, n and the bytes kept.";

const ROW: i32 = 18;
// Not colours of the theme: they stay as they are on a dark page, as the cells do.
const ON_BRIGHT: RGBColor = RGBColor(0x10, 0x14, 0x18);
const ON_DARK: RGBColor = RGBColor(0xf8, 0xf8, 0xf8);

/// Draws the heatmap.
///
/// # Errors
/// Returns an error if there is no layer or no codec, or a layer does not have one cell for each codec.
pub fn error_map(caption: &Caption, codecs: &[&str], rows: &[ErrorRow<'_>]) -> Result<Figure> {
    not_empty(caption, "layer", rows.len())?;
    not_empty(caption, "codec", codecs.len())?;
    let header =
        ["layer", "codec", "error", "low", "high", "n", "kept_bytes", "raw_bytes", "at_floor"];
    let mut data = data(&header)?;
    for row in rows {
        check(caption, row.layer, codecs.len(), row.cells.len())?;
        for (codec, cell) in codecs.iter().zip(row.cells) {
            let Some(cell) = cell else { continue };
            let numbers = [cell.error, cell.low, cell.high, cell.n as f64, cell.kept, row.raw];
            let names = [row.layer, codec].map(String::from).into_iter();
            data.write_record(names.chain(numbers.map(number)).chain([row.at_floor.to_string()]))?;
        }
    }
    let all = || rows.iter().filter(|row| !row.at_floor).flat_map(|row| row.cells).flatten();
    let scale = ErrorScale::of(all().map(|cell| cell.error));
    let shown = Names::new(codecs.iter().copied(), theme::TICK, theme::LAYER);
    let names = shown.width(theme::TICK) + 10;
    let height = theme::HEIGHT.max((190 + names + ROW * rows.len() as i32) as u32);
    let svg = draw(caption, height, &[], |canvas| {
        let end = scale.bar(canvas, canvas.free)?;
        if rows.iter().any(|row| row.at_floor) {
            let (left, y) = (end + 40, canvas.free.top + 4);
            canvas.hatch((left, y - 7), (left + 18, y + 7))?;
            let at = (left + 26, y);
            canvas.print(at, "at the floor", theme::LABEL, theme::TEXT, Anchor::Start)?;
        }
        let (top, bottom) = (canvas.free.top + 40, canvas.free.bottom - names);
        cells(canvas, Frame { top, bottom, ..canvas.free }, &shown, rows, scale)
    })?;
    caption.figure(svg, data, format!("{HOW_TO_READ}{}", shown.key()))
}

fn cells(
    canvas: &Canvas<'_>,
    free: Frame,
    codecs: &Names<'_>,
    rows: &[ErrorRow<'_>],
    scale: ErrorScale,
) -> Result<()> {
    let names: Vec<&str> = rows.iter().map(|row| row.layer).collect();
    let shown = Names::layers(names.iter().copied(), theme::TICK, theme::LAYER);
    let mut x = Axis::within("", 0.0, codecs.len() as f64, 1);
    let mut y = Axis::within("", 0.0, rows.len() as f64, 1);
    x.ticks.clear();
    y.ticks.clear();
    let panel = canvas.panel(free, &x, &y, shown.width(theme::TICK) + 10)?;
    let inside = panel.inside();
    let top = |row: usize| panel.at(0.0, (rows.len() - row) as f64).1;
    let edge = |column: usize| panel.at(column as f64, 0.0).0;
    for (i, row) in rows.iter().enumerate() {
        let middle = (top(i) + top(i + 1)) / 2;
        let at = (inside.left - 6, middle);
        let name = (shown.at(i), row.layer);
        canvas.print_short(at, name, theme::TICK, theme::TEXT, Anchor::End)?;
        for (column, cell) in row.cells.iter().enumerate() {
            let Some(cell) = cell else { continue };
            let (a, b) = ((edge(column), top(i)), (edge(column + 1), top(i + 1)));
            let area = Frame { left: a.0, top: a.1, right: b.0, bottom: b.1 };
            let what = format!("{}, {}", row.layer, codecs.full(column));
            let raw = binary(row.raw);
            if row.at_floor {
                canvas.hatch(a, b)?;
                canvas.hover(area, &format!("{what}: at the numerical floor ({raw})"));
                continue;
            }
            canvas.rectangle(a, b, scale.color(cell.error))?;
            value(canvas, area, cell.error, scale)?;
            canvas.hover(area, &format!("{what}: {} of {raw}", cell.said()));
        }
    }
    for row in layers::separators(&names) {
        let ends = [(inside.left, top(row)), (inside.right, top(row))];
        canvas.path(&ends, theme::SURFACE, 1, false)?;
    }
    codec_names(canvas, inside, codecs, edge)
}

/// The value inside a cell that has room for it.
fn value(canvas: &Canvas<'_>, area: Frame, error: f64, scale: ErrorScale) -> Result<()> {
    let label = text::significant(error);
    if text::width(&label, theme::TICK) + 4 > area.right - area.left {
        return Ok(());
    }
    let RGBColor(r, g, b) = scale.color(error);
    let bright = 0.2126 * f64::from(r) + 0.7152 * f64::from(g) + 0.0722 * f64::from(b) > 128.0;
    let at = ((area.left + area.right) / 2, (area.top + area.bottom) / 2);
    let ink = if bright { ON_BRIGHT } else { ON_DARK };
    canvas.print(at, &label, theme::TICK, ink, Anchor::Middle)
}

/// The codecs' names below their columns, upwards if there is no room beside each other.
fn codec_names(
    canvas: &Canvas<'_>,
    inside: Frame,
    codecs: &Names<'_>,
    edge: impl Fn(usize) -> i32,
) -> Result<()> {
    let level = codecs.width(theme::TICK) + 8 <= edge(1) - edge(0);
    if !level {
        return names_below(canvas, inside, inside.bottom, codecs, edge); // cells have more to show
    }
    for column in 0..codecs.len() {
        let at = ((edge(column) + edge(column + 1)) / 2, inside.bottom + 12);
        let names = (codecs.at(column), codecs.full(column));
        canvas.print_short(at, names, theme::TICK, theme::TEXT, Anchor::Middle)?;
    }
    Ok(())
}
