//! What a training step holds from its first operation to its last, stacked by what it is held for.

use crate::axis::{Axis, binary};
use crate::canvas::{Anchor, Frame, draw};
use crate::data::{data, number};
use crate::legend::{Entry, Key};
use crate::{Caption, Figure, Result, check, not_empty, text, theme};

/// What a step holds at one moment.
#[derive(Debug, Clone)]
pub struct Moment<'a> {
    /// The layer that is at work.
    pub layer: &'a str,
    /// Whether it is in the backward pass.
    pub backward: bool,
    /// The bytes of each part.
    pub bytes: &'a [f64],
}

impl Moment<'_> {
    fn total(&self) -> f64 {
        self.bytes.iter().sum()
    }
}

/// The most moments that are drawn side by side.
const MOST: usize = 400;

const HOW_TO_READ: &str = "One training step from left to right: the forward pass, in which layers keep \
    what their backward pass needs, and the backward pass, which frees it again while the gradients of \
    parameters come in. At each moment the areas, one on the other, are the bytes that the step holds, by \
    what they are held for; their upper edge is all of it. A line marks the moment of the peak. A pointer \
    over the areas shows the layer at work and its bytes.";

const GATHERED: &str = " Neighbouring moments share a column, which shows the one that holds most.";

/// Draws the moments of a step in order, with the bytes of `parts` (at most six) on top of each other.
///
/// # Errors
/// Returns an error if there is no moment, or one has not as many bytes as there are parts.
pub fn step_course(caption: &Caption, parts: &[&str], moments: &[Moment<'_>]) -> Result<Figure> {
    not_empty(caption, "moment", moments.len())?;
    let header = ["moment", "pass", "layer"].into_iter().chain(parts.iter().copied());
    let mut data = data(&header.collect::<Vec<_>>())?;
    for (position, moment) in moments.iter().enumerate() {
        check(caption, format!("bytes at moment {position}"), parts.len(), moment.bytes.len())?;
        let pass = if moment.backward { "backward" } else { "forward" };
        let names = [position.to_string(), pass.to_owned(), moment.layer.to_owned()];
        data.write_record(
            names.into_iter().chain(moment.bytes.iter().map(|bytes| number(*bytes))),
        )?;
    }
    let together = moments.len().div_ceil(MOST);
    let columns: Vec<&Moment<'_>> = moments.chunks(together).filter_map(most).collect();
    let turn = moments.iter().position(|moment| moment.backward).unwrap_or(moments.len());
    let turn = turn as f64 / together as f64;
    let peak = most(moments).map_or(0.0, Moment::total);
    let at_peak = columns.iter().position(|column| column.total() >= peak).unwrap_or_default();
    let look = |part: usize| theme::layer([3, 2, 5, 0, 4, 1][part % 6]);
    let legend: Vec<Entry> = parts
        .iter()
        .enumerate()
        .map(|(part, name)| Entry::new(*name, look(part), Key::Fill))
        .collect();
    let svg = draw(caption, theme::HEIGHT, &legend, |canvas| {
        let mut frame = canvas.free;
        frame.top += 38;
        let mut x = Axis::within("the step", 0.0, columns.len() as f64, 4);
        x.ticks.clear(); // moments have no unit
        let y = Axis::bytes("bytes", peak, 5);
        let panel = canvas.panel(frame, &x, &y, 0)?;
        let inside = panel.inside();
        let mut below = vec![0.0; columns.len()];
        for part in 0..parts.len() {
            let above: Vec<f64> =
                below.iter().zip(&columns).map(|(below, c)| below + c.bytes[part]).collect();
            let edge = |values: &[f64]| -> Vec<(i32, i32)> {
                let ends = |(at, value): (usize, &f64)| {
                    [panel.at(at as f64, *value), panel.at((at + 1) as f64, *value)]
                };
                values.iter().enumerate().flat_map(ends).collect()
            };
            let (mut points, low) = (edge(&above), edge(&below));
            points.extend(low.into_iter().rev());
            canvas.polygon(&points, look(part).ink, 1.0)?;
            below = above;
        }
        panel.upright(turn, theme::TEXT, true)?;
        let turn = panel.at(turn, 0.0).0;
        let heads = [("forward pass", inside.left, turn), ("backward pass", turn, inside.right)];
        let inner = |name: &str, x: i32| {
            let half = text::width(name, theme::LABEL) / 2;
            x.clamp(inside.left + half, (inside.right - half).max(inside.left + half))
        };
        for (name, from, to) in heads {
            if to - from > text::width(name, theme::LABEL) {
                let at = ((from + to) / 2, inside.top - 28);
                canvas.print(at, name, theme::LABEL, theme::MUTED, Anchor::Middle)?;
            }
        }
        let x = panel.at(at_peak as f64 + 0.5, 0.0).0;
        canvas.path(&[(x, inside.top - 4), (x, panel.at(0.0, peak).1)], theme::TEXT, 2, false)?;
        let name = format!("peak {}", binary(peak));
        let at = (inner(&name, x), inside.top - 11);
        canvas.print(at, &name, theme::LABEL, theme::TEXT, Anchor::Middle)?;
        for (position, column) in columns.iter().enumerate() {
            let (left, right) =
                (panel.at(position as f64, 0.0).0, panel.at(position as f64 + 1.0, 0.0).0);
            let area = Frame { left, right, top: inside.top, bottom: inside.bottom };
            canvas.hover(area, &words(parts, column));
        }
        Ok(())
    })?;
    let gathered = if together > 1 { GATHERED } else { "" };
    caption.figure(svg, data, format!("{HOW_TO_READ}{gathered}"))
}

/// The first of the moments that hold most.
fn most<'m, 'a>(moments: &'m [Moment<'a>]) -> Option<&'m Moment<'a>> {
    moments.iter().reduce(|most, next| if next.total() > most.total() { next } else { most })
}

fn words(parts: &[&str], moment: &Moment<'_>) -> String {
    let pass = if moment.backward { "backward" } else { "forward" };
    let each = parts.iter().zip(moment.bytes).filter(|(_, bytes)| **bytes > 0.0);
    let each: Vec<String> =
        each.map(|(part, bytes)| format!("{part} {}", binary(*bytes))).collect();
    format!("{}, {pass}: {} ({})", moment.layer, binary(moment.total()), each.join(", "))
}
