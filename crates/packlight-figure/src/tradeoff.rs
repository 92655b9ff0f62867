//! Accuracy against peak memory, one point for each plan.

use crate::axis::Axis;
use crate::canvas::{Anchor, Frame, draw};
use crate::csv::{Csv, number};
use crate::{Caption, Figure, Result, check, not_empty, spread, text, theme};

/// One plan's results, seed by seed.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The plan's name.
    pub name: &'a str,
    /// Peak bytes of each seed.
    pub peak: &'a [f64],
    /// Accuracy of each seed, as a fraction.
    pub accuracy: &'a [f64],
}

const HOW_TO_READ: &str = "One marker for each plan: the mean over its seeds, with bars from the \
    lowest to the highest seed and a faint dot for each. Better is up and to the left. A plan \
    that stands below and to the right of another loses on both counts.";

/// Draws accuracy against peak bytes; `peak_label` says by which account the bytes were measured.
/// The axis of bytes starts at 0, or is logarithmic where the plans differ more than tenfold.
///
/// # Errors
/// If there is no candidate, or one has no seeds or differing numbers of them.
pub fn tradeoff(
    caption: &Caption,
    peak_label: &str,
    candidates: &[Candidate<'_>],
) -> Result<Figure> {
    not_empty(caption, "plan", candidates.len())?;
    let mut csv = Csv::new(&["plan", "seed_index", "peak_bytes", "accuracy"]);
    for candidate in candidates {
        not_empty(caption, "seed", candidate.accuracy.len())?;
        check(caption, candidate.name, candidate.accuracy.len(), candidate.peak.len())?;
        for (seed, (peak, accuracy)) in candidate.peak.iter().zip(candidate.accuracy).enumerate() {
            let name = candidate.name.to_string();
            csv.row([name, seed.to_string(), number(*peak), number(*accuracy)]);
        }
    }
    let (_, least, most) = spread(candidates.iter().flat_map(|c| c.peak.iter().copied()));
    let (_, low, high) = spread(candidates.iter().flat_map(|c| c.accuracy.iter().copied()));
    let x = if least > 0.0 && most > 10.0 * least {
        Axis::log_bytes(peak_label, least, most)
    } else {
        Axis::bytes(peak_label, most, 6)
    };
    let pad = ((high - low) * 0.15).max(0.005);
    let mut y = Axis::linear("test accuracy (fraction)", low - pad, high + pad, 6);
    if y.high > 1.0 {
        // Room above 1 keeps a marker there whole; it gets no tick.
        let high = 1.0 + (y.high - y.low) * 0.02;
        y = y.until(high);
    }
    let svg = draw(caption, theme::HEIGHT, &[], |canvas| {
        let panel = canvas.panel(canvas.free, &x, &y, 0)?;
        let mut taken: Vec<Frame> = Vec::new();
        let mut labels = Vec::new();
        for (i, candidate) in candidates.iter().enumerate() {
            let look = theme::plan(i);
            let (peak, peak_low, peak_high) = spread(candidate.peak.iter().copied());
            let (accuracy, low, high) = spread(candidate.accuracy.iter().copied());
            if !peak.is_finite() || !accuracy.is_finite() {
                continue;
            }
            for (x, y) in candidate.peak.iter().zip(candidate.accuracy) {
                let (x, y) = panel.at(*x, *y);
                let dot = [(x - 3, y), (x, y - 3), (x + 3, y), (x, y + 3)];
                canvas.polygon(&dot, look.ink, 0.35)?;
            }
            let (x, y) = panel.at(peak, accuracy);
            let (_, top) = panel.at(peak, high);
            let (_, bottom) = panel.at(peak, low);
            let (left, _) = panel.at(peak_low, accuracy);
            let (right, _) = panel.at(peak_high, accuracy);
            canvas.path(&[(x, top), (x, bottom)], look.ink, 1, false)?;
            canvas.path(&[(left, y), (right, y)], look.ink, 1, false)?;
            for at in [top, bottom] {
                canvas.path(&[(x - 4, at), (x + 4, at)], look.ink, 1, false)?;
            }
            canvas.mark((x, y), look, 6)?;
            taken.push(Frame {
                left: x - 8,
                top: top.min(y - 8),
                right: x + 8,
                bottom: bottom.max(y + 8),
            });
            labels.push((x, y, format!("{} (n = {})", candidate.name, candidate.accuracy.len())));
        }
        for (x, y, label) in labels {
            let width = text::width(&label, theme::LABEL);
            let at = place(&taken, panel.inside(), (x, y), width);
            taken.push(at);
            let point = (at.left, (at.top + at.bottom) / 2);
            canvas.print(point, &label, theme::LABEL, theme::TEXT, Anchor::Start)?;
        }
        Ok(())
    })?;
    Ok(caption.figure(svg, csv, HOW_TO_READ))
}

/// A place for a label of `width` pixels near `(x, y)` that is inside and touches nothing placed
/// before; the nearest one to the right if there is none.
fn place(taken: &[Frame], inside: Frame, (x, y): (i32, i32), width: i32) -> Frame {
    let frame = |left: i32, middle: i32| Frame {
        left,
        top: middle - 8,
        right: left + width,
        bottom: middle + 8,
    };
    let shifts = [0, -18, 18, -36, 36, -54, 54, -72, 72];
    let tries = shifts
        .iter()
        .flat_map(|shift| [frame(x + 12, y + shift), frame(x - 12 - width, y + shift)]);
    let apart = |a: &Frame, b: &Frame| {
        a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top
    };
    tries
        .filter(|f| {
            f.left >= inside.left
                && f.right <= inside.right
                && f.top >= inside.top
                && f.bottom <= inside.bottom
        })
        .find(|f| taken.iter().all(|t| apart(f, t)))
        .unwrap_or_else(|| frame(x + 12, y))
}
