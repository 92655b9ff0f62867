//! Places for the labels of points, apart from each other and from everything drawn.

use crate::canvas::{Anchor, Canvas, Frame, area};
use crate::{Result, text, theme};

/// Labels that are being placed inside a pair of axes.
pub(crate) struct Labels {
    inside: Frame,
    size: f64,
    /// What labels must not touch.
    taken: Vec<Frame>,
    /// The labels so far, which the lines to further ones must not cross.
    placed: Vec<Frame>,
}

/// A place for a label, and the end of the line from its point if that is far away.
type Place = (Frame, Option<(i32, i32)>);

impl Labels {
    pub(crate) fn new(inside: Frame, size: f64) -> Self {
        Self { inside, size, taken: Vec::new(), placed: Vec::new() }
    }

    /// Keeps labels off `frame`.
    pub(crate) fn avoid(&mut self, frame: Frame) {
        self.taken.push(frame);
    }

    /// Keeps labels off a line.
    pub(crate) fn avoid_line(&mut self, from: (i32, i32), to: (i32, i32)) {
        self.taken.extend(along(from, to));
    }

    /// Writes a label, which may be short for another text, as near to its point as it fits, with a
    /// thin line to the point if that is far away; nothing if it fits nowhere.
    pub(crate) fn write(
        &mut self,
        canvas: &Canvas<'_>,
        point: (i32, i32),
        (shown, full): (&str, &str),
    ) -> Result<()> {
        let Some((label, line)) =
            self.places(point, shown).into_iter().find(|p| self.fits(point, p))
        else {
            return Ok(());
        };
        if let Some(end) = line {
            canvas.path(&[point, end], theme::AXIS, 1, false)?;
            self.avoid_line(point, end);
        }
        let at = (label.left, (label.top + label.bottom) / 2);
        canvas.print_short(at, (shown, full), self.size, theme::TEXT, Anchor::Start)?;
        self.taken.push(label);
        self.placed.push(label);
        Ok(())
    }

    /// Places at both sides of a point and above and below it, the nearest first.
    fn places(&self, (x, y): (i32, i32), shown: &str) -> Vec<Place> {
        let (width, row) = (text::width(shown, self.size), (self.size * 1.3) as i32);
        let at = |left: i32, middle: i32| area((left, middle), shown, self.size, Anchor::Start);
        let mut places = Vec::new();
        for rows in -32..=32i32 {
            for aside in (10..120).step_by(10) {
                let far = rows.abs() > 1 || aside > 20;
                let (right, left, y) = (x + aside, x - aside, y + rows * row);
                let distance = rows.abs() * row + aside;
                places.push((distance, (at(right, y), far.then_some((right - 2, y)))));
                places.push((distance, (at(left - width, y), far.then_some((left + 2, y)))));
            }
        }
        places.sort_by_key(|(distance, _)| *distance); // the sort is stable
        places.into_iter().map(|(_, place)| place).collect()
    }

    fn fits(&self, point: (i32, i32), (label, line): &Place) -> bool {
        let inside = self.inside;
        let crosses = |end: &(i32, i32)| along(point, *end).any(|f| touches(&self.placed, &f));
        label.left >= inside.left
            && label.right <= inside.right
            && label.top >= inside.top
            && label.bottom <= inside.bottom
            && !touches(&self.taken, label)
            && !line.as_ref().is_some_and(crosses)
    }
}

fn touches(frames: &[Frame], a: &Frame) -> bool {
    let apart = |b: &Frame| {
        a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top
    };
    !frames.iter().all(apart)
}

/// Small frames along a line.
fn along(from: (i32, i32), to: (i32, i32)) -> impl Iterator<Item = Frame> {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let steps = (dx.abs().max(dy.abs()) / 3).max(1);
    (0..=steps).map(move |i| {
        let (x, y) = (from.0 + dx * i / steps, from.1 + dy * i / steps);
        Frame { left: x - 2, top: y - 2, right: x + 2, bottom: y + 2 }
    })
}
