//! Memory kept over one forward and backward pass, with its peak.

use crate::axis::{Axis, binary};
use crate::canvas::{Anchor, draw};
use crate::data::{data, number};
use crate::legend::{Entry, Key};
use crate::names::Names;
use crate::theme::Look;
use crate::{Caption, Figure, Result, check, not_empty, text, theme};

/// One plan's kept bytes over one forward and backward pass.
#[derive(Debug, Clone, Copy)]
pub struct MemoryTimeline<'a> {
    /// The plan's name.
    pub name: &'a str,
    /// Its look.
    pub look: Look,
    /// Bytes kept after each event, by the ledger.
    pub kept: &'a [f64],
    /// Live bytes by the counting allocator after each event; empty if not counted.
    pub live: &'a [f64],
    /// The first event of the backward pass.
    pub backward: usize,
}

const HOW_TO_READ: &str = "One training step from left to right: the forward pass, in which each \
    layer keeps what its backward pass needs, and the backward pass, which frees it again. Each \
    event is one tensor kept or freed, counted from the turn at 0. Solid lines are the kept bytes by \
    the ledger, with a marker at their peak. Dashed lines of the same colour are the live bytes by \
    the counting allocator at the same events, beyond those live before the step: they include \
    temporary tensors, gradients and workspace.";

/// Draws one line for each plan. `stages` gives the names of the model's stages and the events of
/// the first timeline at which they begin.
///
/// # Errors
/// Returns an error if there is no timeline, one is empty, or `live` is neither empty nor as long
/// as
/// `kept`.
pub fn memory_timeline(
    caption: &Caption,
    stages: &[(usize, &str)],
    courses: &[MemoryTimeline<'_>],
) -> Result<Figure> {
    not_empty(caption, "plan", courses.len())?;
    let mut data = data(&["plan", "event", "kept_bytes", "live_bytes"])?;
    let (mut first, mut last, mut highest) = (0.0f64, 0.0f64, 0.0f64);
    let mut legend = Vec::new();
    let shown = Names::new(courses.iter().map(|c| c.name), theme::LABEL, theme::NAME);
    for (i, course) in courses.iter().enumerate() {
        not_empty(caption, "event", course.kept.len())?;
        if !course.live.is_empty() {
            check(
                caption,
                format!("live bytes of {}", course.name),
                course.kept.len(),
                course.live.len(),
            )?;
        }
        for (event, kept) in course.kept.iter().enumerate() {
            let live = course.live.get(event).copied().unwrap_or(f64::NAN);
            highest = highest.max(*kept).max(live);
            let x = position(course, event);
            data.write_record([course.name.to_string(), number(x), number(*kept), number(live)])?;
        }
        first = first.min(position(course, 0));
        last = last.max(position(course, course.kept.len() - 1));
        let text = |name: &str| format!("{name}: peak {}", binary(peak(course).1));
        let entry = Entry::new(text(shown.at(i)), course.look, Key::Line);
        legend.push(entry.hover(text(course.name)));
    }
    if courses.iter().any(|c| !c.live.is_empty()) {
        legend.push(Entry::new("live, counting allocator", theme::plan(0), Key::Dashed));
    }
    let svg = draw(caption, theme::HEIGHT, &legend, |canvas| {
        let mut frame = canvas.free;
        frame.top += 38;
        let x = Axis::whole("event of the step, from the turn between the passes", first, last, 8);
        let y = Axis::bytes("bytes", highest, 5);
        let panel = canvas.panel(frame, &x, &y, 0)?;
        let inside = panel.inside();
        panel.upright(0.0, theme::MUTED, true)?;
        let turn = panel.at(0.0, 0.0).0;
        let head = inside.top - 28;
        for (name, from, to) in
            [("forward pass", inside.left, turn), ("backward pass", turn, inside.right)]
        {
            // The name of a short pass at an end of the axis must stay inside.
            let half = text::width(name, theme::LABEL) / 2;
            let at = (((from + to) / 2).clamp(inside.left + half, inside.right - half), head);
            canvas.print(at, name, theme::LABEL, theme::MUTED, Anchor::Middle)?;
        }
        let mut free_from = inside.left;
        for (event, name) in stages {
            let at = panel.at(position(&courses[0], *event), 0.0).0;
            let end = at + 4 + text::width(name, theme::TICK);
            if at >= free_from && end < turn {
                canvas.path(&[(at, inside.top - 16), (at, inside.top)], theme::AXIS, 1, false)?;
                let label = (at + 4, inside.top - 10);
                canvas.print(label, name, theme::TICK, theme::MUTED, Anchor::Start)?;
                free_from = end + 6;
            }
        }
        for course in courses {
            let look = course.look;
            let xs: Vec<f64> = (0..course.kept.len()).map(|e| position(course, e)).collect();
            if !course.live.is_empty() {
                panel.line(&xs, course.live, look.ink, 1, true)?;
            }
            let (xs, ys) = steps(&xs, course.kept);
            panel.line(&xs, &ys, look.ink, 2, false)?;
            let (event, bytes) = peak(course);
            canvas.mark(panel.at(position(course, event), bytes), look, 5)?;
        }
        Ok(())
    })?;
    caption.figure(svg, data, format!("{HOW_TO_READ}{}", shown.key()))
}

/// Events before the turn are negative.
fn position(course: &MemoryTimeline<'_>, event: usize) -> f64 {
    event as f64 - course.backward as f64
}

/// The event with the most kept bytes, and how many.
fn peak(course: &MemoryTimeline<'_>) -> (usize, f64) {
    let start = (0, f64::NEG_INFINITY);
    course.kept.iter().enumerate().fold(
        start,
        |best, (event, kept)| {
            if *kept > best.1 { (event, *kept) } else { best }
        },
    )
}

/// The points of a step function: kept bytes change at events only.
fn steps(xs: &[f64], ys: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let mut stepped = (Vec::new(), Vec::new());
    for (i, (x, y)) in xs.iter().zip(ys).enumerate() {
        if i > 0 {
            stepped.0.push(*x);
            stepped.1.push(ys[i - 1]);
        }
        stepped.0.push(*x);
        stepped.1.push(*y);
    }
    stepped
}
