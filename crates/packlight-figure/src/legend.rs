//! The legend of a figure, between its subtitle and its axes.

use crate::canvas::{Anchor, Canvas};
use crate::theme::{self, Look};
use crate::{Result, text};

/// How a legend shows an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Line,
    Dashed,
    Fill,
    /// Filled, with stripes this wide.
    Striped(i32),
    Outline,
    Mark,
}

/// An entry of a legend.
pub(crate) struct Entry {
    shown: String,
    full: String,
    look: Look,
    key: Key,
}

impl Entry {
    pub(crate) fn new(text: impl Into<String>, look: Look, key: Key) -> Self {
        let shown = text.into();
        Self { full: shown.clone(), shown, look, key }
    }

    /// What a pointer over the entry shows, if that is more than its text.
    pub(crate) fn hover(mut self, full: impl Into<String>) -> Self {
        self.full = full.into();
        self
    }
}

impl Canvas<'_> {
    /// Draws a legend at the top of the free area, which then begins below it.
    pub(crate) fn legend(&mut self, entries: &[Entry]) -> Result<()> {
        let mut x = self.free.left;
        let mut y = self.free.top + 18;
        for Entry { shown, full, look, key } in entries {
            let key_width = if *key == Key::Mark { 16 } else { 34 };
            let width = key_width + text::width(shown, theme::LABEL) + 18;
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
                Key::Striped(width) => {
                    self.striped((x + 4, y - 6), (x + 22, y + 6), look.ink, *width)?;
                }
                Key::Outline => self.outline((x + 4, y - 6), (x + 22, y + 6), look.ink)?,
                Key::Mark => self.mark((x + 6, y), *look, 5)?,
            }
            let at = (x + key_width, y);
            self.print_short(at, (shown, full), theme::LABEL, theme::TEXT, Anchor::Start)?;
            x += width;
        }
        self.free.top = y + 14;
        Ok(())
    }
}
