//! The plans of a figure as a list below its axes.

use crate::canvas::{Anchor, Canvas, Frame};
use crate::theme::{self, Look};
use crate::{Result, text};

const ACROSS: usize = 3;
const GAP: i32 = 26;
const ROW: i32 = 18;

/// A plan with two numbers as text.
pub(crate) struct Item<'a> {
    pub(crate) name: &'a str,
    pub(crate) look: Look,
    pub(crate) numbers: [String; 2],
}

/// The height of a list of `count` plans, heading included.
pub(crate) fn height(count: usize) -> i32 {
    ROW * (count.div_ceil(ACROSS) as i32 + 1) + 10
}

/// Draws the list at the bottom of `free`, column by column.
pub(crate) fn plan_list(
    canvas: &Canvas<'_>,
    free: Frame,
    heads: [&str; 2],
    items: &[Item<'_>],
) -> Result<()> {
    let rows = items.len().div_ceil(ACROSS);
    let top = free.bottom - height(items.len()) + 10 + ROW / 2;
    for (column, items) in free.grid(1, ACROSS, GAP).iter().zip(items.chunks(rows.max(1))) {
        let ends = [column.right - 62, column.right];
        let heads = heads.iter().zip(ends);
        for (head, x) in heads {
            canvas.print((x, top), head, theme::TICK, theme::MUTED, Anchor::End)?;
        }
        for (i, item) in items.iter().enumerate() {
            let y = top + ROW * (i as i32 + 1);
            canvas.mark((column.left + 6, y), item.look, 4)?;
            let left = column.left + 18;
            let room = ends[0] - text::width(&item.numbers[0], theme::TICK) - 8 - left;
            let shown = text::shorten(item.name, theme::TICK, room);
            let names = (shown.as_str(), item.name);
            canvas.print_short((left, y), names, theme::TICK, theme::TEXT, Anchor::Start)?;
            for (number, x) in item.numbers.iter().zip(ends) {
                canvas.print((x, y), number, theme::TICK, theme::TEXT, Anchor::End)?;
            }
        }
    }
    Ok(())
}
