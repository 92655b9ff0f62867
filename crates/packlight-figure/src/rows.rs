//! A table of small charts: a row for each layer in forward order, a column for each plan.

use crate::axis::Axis;
use crate::canvas::{self, Anchor, Canvas, Frame};
use crate::names::Names;
use crate::panel::Panel;
use crate::{Result, layers, theme};

/// The most columns beside each other; further ones go below.
pub(crate) const ACROSS: usize = 3;
/// Pixels between columns.
const GAP: i32 = 14;
/// Pixels above and below the rows of a column.
const AROUND: i32 = 78;

/// The layout of `layers` x `columns` small charts with `aside` pixels for text to the right of
/// each.
pub(crate) struct Rows<'a> {
    pub(crate) layers: &'a [&'a str],
    pub(crate) columns: usize,
    pub(crate) row_height: i32,
    pub(crate) aside: i32,
}

impl Rows<'_> {
    fn tiers(&self) -> usize {
        self.columns.div_ceil(ACROSS)
    }

    /// The height that the figure needs, header included.
    pub(crate) fn height(&self) -> u32 {
        let tier = self.layers.len() as i32 * self.row_height + AROUND;
        theme::HEIGHT.max((150 + tier * self.tiers() as i32) as u32)
    }

    fn names(&self) -> Names<'_> {
        Names::layers(self.layers.iter().copied(), theme::TICK, theme::LAYER)
    }

    /// The width left for a heading in pixels, if `taken` is used by other text in its line.
    pub(crate) fn heading_room(&self, taken: i32) -> i32 {
        let across = self.columns.min(ACROSS) as i32;
        let names = self.names().width(theme::TICK) + 10;
        let room = theme::WIDTH as i32 - 2 * canvas::MARGIN - names - GAP * (across - 1);
        room / across - taken
    }

    /// Draws each column's axes and heading and the layers' names, and calls `body` with each
    /// column's panel and index. A heading is its text, which may be short for the second.
    pub(crate) fn draw(
        &self,
        canvas: &Canvas<'_>,
        x: &Axis,
        headings: &[(String, String)],
        mut body: impl FnMut(&Panel<'_, '_>, usize) -> Result<()>,
    ) -> Result<()> {
        let names = self.names();
        let across = self.columns.min(ACROSS);
        let free = Frame { left: canvas.free.left + names.width(theme::TICK) + 10, ..canvas.free };
        let frames = free.grid(self.tiers(), across, GAP);
        let mut y = Axis::within("", 0.0, self.layers.len() as f64, 1);
        y.ticks.clear();
        for (column, frame) in frames.into_iter().enumerate().take(self.columns) {
            let inner = Frame { top: frame.top + 24, right: frame.right - self.aside, ..frame };
            let panel = canvas.panel(inner, x, &y, 0)?;
            panel.heading(&headings[column].0, &headings[column].1)?;
            let inside = panel.inside();
            if column % across == 0 {
                for row in 0..self.layers.len() {
                    let at = (inside.left - 6, self.middle(&panel, row));
                    let name = (names.at(row), names.full(row));
                    canvas.print_short(at, name, theme::TICK, theme::TEXT, Anchor::End)?;
                }
            }
            for row in layers::separators(self.layers) {
                let at = panel.at(x.low, (self.layers.len() - row) as f64).1;
                canvas.path(&[(inside.left, at), (inside.right, at)], theme::GRID, 1, false)?;
            }
            body(&panel, column)?;
        }
        Ok(())
    }

    /// The vertical middle of a row in pixels.
    pub(crate) fn middle(&self, panel: &Panel<'_, '_>, row: usize) -> i32 {
        let inside = panel.inside();
        let height = f64::from(inside.bottom - inside.top) / self.layers.len() as f64;
        inside.top + ((row as f64 + 0.5) * height).round() as i32
    }

    /// Half the height of a row's bar in pixels.
    pub(crate) fn half(&self, panel: &Panel<'_, '_>) -> i32 {
        let inside = panel.inside();
        let height = f64::from(inside.bottom - inside.top) / self.layers.len() as f64;
        ((height * 0.34) as i32).clamp(2, 8)
    }
}
