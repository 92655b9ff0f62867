//! Bytes that each layer keeps for the backward pass, predicted and counted.

use crate::axis::{Axis, binary};
use crate::canvas::{Anchor, draw};
use crate::data::{data, number};
use crate::legend::{Entry, Key};
use crate::names::Names;
use crate::rows::Rows;
use crate::theme::{self, Look};
use crate::{Caption, Error, Figure, Result, not_empty, text};

/// The bytes of one part that a layer keeps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KeptBytes {
    /// The layer's index in the slice of layers.
    pub layer: usize,
    /// The part's index in the slice of parts.
    pub part: usize,
    /// Bytes by the ledger.
    pub predicted: f64,
    /// Bytes by the counting allocator; NaN if not counted.
    pub counted: f64,
}

/// What one plan keeps.
#[derive(Debug, Clone, Copy)]
pub struct KeptColumn<'a> {
    /// The plan's name.
    pub name: &'a str,
    /// What it keeps.
    pub kept: &'a [KeptBytes],
}

impl KeptColumn<'_> {
    /// Whether the counting allocator saw any of it.
    fn counted(&self) -> bool {
        self.kept.iter().any(|kept| kept.counted.is_finite())
    }
}

const HOW_TO_READ: &str = "Each bar is what one layer keeps between the forward and the backward \
    pass of one training step; the model's input is at the top. The filled parts are the bytes that \
    the counting allocator saw freed with the layer's kept tensors, stacked by their purpose; the \
    outline is what the ledger predicted from shapes and codecs. Where the two agree, the fill \
    exactly fills the outline. Only kept activations count: no parameters, gradients, optimizer \
    state or workspace. A tensor that two layers need is counted once, at the layer that keeps it.";

const NOT_COUNTED: &str = " A plan without outlines was not counted: its filled parts are what the \
    ledger predicted.";

/// Draws a row for each layer, in forward order, and a column for each plan, all on the same axis.
/// `parts` names what bytes are kept for (at most six).
///
/// # Errors
/// Returns an error if there is no layer or column, or an entry's layer or part is out of range.
pub fn kept_bytes(
    caption: &Caption,
    layers: &[&str],
    parts: &[&str],
    columns: &[KeptColumn<'_>],
) -> Result<Figure> {
    not_empty(caption, "layer", layers.len())?;
    not_empty(caption, "plan", columns.len())?;
    let mut data = data(&["plan", "layer", "part", "predicted_bytes", "counted_bytes"])?;
    let mut longest: f64 = 0.0;
    for column in columns {
        for kept in column.kept {
            for (what, index, len) in
                [("layer", kept.layer, layers.len()), ("part", kept.part, parts.len())]
            {
                if index >= len {
                    return Err(Error::Length {
                        figure: caption.id.clone(),
                        what: format!("{what} {index} of {}", column.name),
                        expected: index + 1,
                        found: len,
                    });
                }
            }
            let names = [column.name, layers[kept.layer], parts[kept.part]].map(String::from);
            data.write_record(names.into_iter().chain([kept.predicted, kept.counted].map(number)))?;
        }
        for row in 0..layers.len() {
            let (predicted, counted) = totals(column.kept.iter().filter(|k| k.layer == row));
            longest = longest.max(predicted).max(counted);
        }
    }
    let look = |part: usize| theme::layer([0, 3, 2, 5, 4, 1][part % 6]);
    let outline = Look { ink: theme::TEXT, ..look(0) };
    let mut legend: Vec<_> =
        parts.iter().enumerate().map(|(i, name)| Entry::new(*name, look(i), Key::Fill)).collect();
    if columns.iter().any(KeptColumn::counted) {
        legend.push(Entry::new("predicted by the ledger", outline, Key::Outline));
    }
    let rows = Rows { layers, columns: columns.len(), row_height: 16, aside: 72 };
    let bold = theme::LABEL * 1.1;
    let room = rows.heading_room(text::width(": 99.9 MiB", bold));
    let shown = Names::new(columns.iter().map(|c| c.name), bold, room);
    let x = Axis::bytes("kept", longest, 3).until(longest * 1.03);
    let svg = draw(caption, rows.height(), &legend, |canvas| {
        let heading = |(i, column): (usize, &KeptColumn<'_>)| {
            let text = |name: &str| format!("{name}: {}", binary(totals(column.kept.iter()).0));
            (text(shown.at(i)), text(column.name))
        };
        let headings: Vec<_> = columns.iter().enumerate().map(heading).collect();
        rows.draw(canvas, &x, &headings, |panel, column| {
            let half = rows.half(panel);
            for row in 0..layers.len() {
                let y = rows.middle(panel, row);
                let mut from = 0.0;
                let here = || columns[column].kept.iter().filter(move |k| k.layer == row);
                for part in 0..parts.len() {
                    let (predicted, counted) = totals(here().filter(|k| k.part == part));
                    let bytes = if columns[column].counted() { counted } else { predicted };
                    let (a, b) = (panel.at(from, 0.0).0, panel.at(from + bytes, 0.0).0);
                    canvas.rectangle((a, y - half), (b, y + half), look(part).ink)?;
                    from += bytes;
                }
                let (predicted, _) = totals(here());
                if predicted > 0.0 {
                    let (a, b) = (panel.at(0.0, 0.0).0, panel.at(predicted, 0.0).0);
                    if columns[column].counted() {
                        canvas.outline((a, y - half), (b.max(a + 1), y + half), theme::TEXT)?;
                    }
                    let at = (panel.inside().right + 70, y);
                    canvas.print(at, &binary(predicted), theme::TICK, theme::MUTED, Anchor::End)?;
                }
            }
            Ok(())
        })
    })?;
    let note = if columns.iter().all(KeptColumn::counted) { "" } else { NOT_COUNTED };
    caption.figure(svg, data, format!("{HOW_TO_READ}{note}{}", shown.key()))
}

/// The sums of predicted and counted bytes; bytes that were not counted add 0.
fn totals<'a>(kept: impl Iterator<Item = &'a KeptBytes>) -> (f64, f64) {
    kept.fold((0.0, 0.0), |(predicted, counted), k| {
        (predicted + k.predicted, counted + if k.counted.is_finite() { k.counted } else { 0.0 })
    })
}
