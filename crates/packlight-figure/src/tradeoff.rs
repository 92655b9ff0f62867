//! Accuracy against cost: one point for each plan, and the Pareto front.

use crate::axis::Axis;
use crate::canvas::{Anchor, Canvas, Frame, draw};
use crate::data::{data, number};
use crate::names::Names;
use crate::panel::Panel;
use crate::theme::Look;
use crate::{Caption, Figure, Result, check, mean_and_range, not_empty, text, theme};

/// One plan's results, seed by seed.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The plan's name.
    pub name: &'a str,
    /// Its family, such as `pool`: if there are too many plans for a colour each, each family has
    /// one.
    pub family: &'a str,
    /// Cost of each seed.
    pub cost: &'a [f64],
    /// Accuracy of each seed, as a fraction.
    pub accuracy: &'a [f64],
}

/// The unit of the horizontal axis, with its label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost<'a> {
    /// Bytes, drawn in binary units from 0.
    Bytes(&'a str),
    /// A multiple of something, such as of the baseline's time.
    Ratio(&'a str),
}

/// With more plans than this, colours stand for families and labels are small.
const FEW: usize = 7;

const HOW_TO_READ: &str = "One marker for each plan: the mean over its seeds, with bars from the \
    lowest to the highest seed. Better is up and to the left.";

const FRONT: &str = " The dashed steps are the Pareto \
    front: no other plan is both as cheap and as accurate as a plan on it, and every plan to the \
    right of and below the steps is beaten on both counts by a plan on them.";

/// The Pareto front of `points` (cost, accuracy): the indices of those for which no other point is
/// more accurate at no higher cost, or as accurate at a lower cost. In ascending order of cost;
/// points that are not finite are left out.
pub fn pareto_front(points: &[(f64, f64)]) -> Vec<usize> {
    let finite = |&i: &usize| points[i].0.is_finite() && points[i].1.is_finite();
    let mut order: Vec<usize> = (0..points.len()).filter(finite).collect();
    order.sort_by(|&a, &b| {
        let ((cost_a, accuracy_a), (cost_b, accuracy_b)) = (points[a], points[b]);
        cost_a.total_cmp(&cost_b).then(accuracy_b.total_cmp(&accuracy_a))
    });
    let mut best = f64::NEG_INFINITY;
    order.retain(|&i| {
        let better = points[i].1 > best;
        best = best.max(points[i].1);
        better
    });
    order
}

/// Draws accuracy against cost, with the Pareto front if `with_front`: where the costs differ by less
/// than is certain, it would say what nobody knows. The cost axis is logarithmic if the costs differ
/// more than tenfold.
///
/// # Errors
/// Returns an error if there is no candidate, or one has no seeds or not as many costs as
/// accuracies.
pub fn tradeoff(
    caption: &Caption,
    cost: Cost<'_>,
    candidates: &[Candidate<'_>],
    with_front: bool,
) -> Result<Figure> {
    not_empty(caption, "plan", candidates.len())?;
    let column = match cost {
        Cost::Bytes(_) => "bytes",
        Cost::Ratio(_) => "ratio",
    };
    let mut data = data(&["plan", "seed_index", column, "accuracy"])?;
    for candidate in candidates {
        not_empty(caption, "seed", candidate.accuracy.len())?;
        check(caption, candidate.name, candidate.accuracy.len(), candidate.cost.len())?;
        for (seed, (cost, accuracy)) in candidate.cost.iter().zip(candidate.accuracy).enumerate() {
            let name = candidate.name.to_string();
            data.write_record([name, seed.to_string(), number(*cost), number(*accuracy)])?;
        }
    }
    let (x, y) = axes(cost, candidates);
    let few = candidates.len() <= FEW;
    let size = if few { theme::LABEL } else { theme::TICK - 1.0 };
    let shown = Names::new(candidates.iter().map(|c| c.name), size, theme::NAME);
    let height = if few { theme::HEIGHT } else { theme::HEIGHT + 220 };
    let svg = draw(caption, height, &[], |canvas| {
        let panel = canvas.panel(canvas.free, &x, &y, 0)?;
        let means: Vec<(f64, f64)> = candidates
            .iter()
            .map(|c| {
                (
                    mean_and_range(c.cost.iter().copied()).0,
                    mean_and_range(c.accuracy.iter().copied()).0,
                )
            })
            .collect();
        let front = if with_front { pareto_front(&means) } else { Vec::new() };
        let mut taken = steps(canvas, &panel, front.iter().map(|&i| means[i]))?;
        for (i, candidate) in candidates.iter().enumerate() {
            let look = if few { theme::plan(i) } else { theme::plan(family(candidates, i)) };
            taken.extend(marker(canvas, &panel, candidate, look, few)?);
        }
        // Labels of the front first, so that they are nearest to their markers.
        let others = (0..candidates.len()).filter(|i| !front.contains(i));
        let finite = |i: &usize| means[*i].0.is_finite() && means[*i].1.is_finite();
        for i in front.iter().copied().chain(others).filter(finite) {
            let (at, n) = (panel.at(means[i].0, means[i].1), candidates[i].accuracy.len());
            let alone = !few && candidates.iter().all(|c| c.accuracy.len() == n);
            let n = if alone { String::new() } else { format!(" (n = {n})") };
            let label = format!("{}{n}", shown.at(i));
            taken.push(write(canvas, &taken, panel.inside(), at, &label, size)?);
        }
        Ok(())
    })?;
    let front = if with_front { FRONT } else { "" };
    caption.figure(svg, data, format!("{HOW_TO_READ}{front}{}", shown.key()))
}

/// The index of a candidate's family, families being numbered in order of appearance.
fn family(candidates: &[Candidate<'_>], of: usize) -> usize {
    let mut families: Vec<&str> = Vec::new();
    for candidate in &candidates[..=of] {
        if !families.contains(&candidate.family) {
            families.push(candidate.family);
        }
    }
    families.iter().position(|f| *f == candidates[of].family).unwrap_or_default()
}

fn axes(cost: Cost<'_>, candidates: &[Candidate<'_>]) -> (Axis, Axis) {
    let (_, least, most) = mean_and_range(candidates.iter().flat_map(|c| c.cost.iter().copied()));
    let (_, low, high) = mean_and_range(candidates.iter().flat_map(|c| c.accuracy.iter().copied()));
    let log = least > 0.0 && most > 10.0 * least;
    let x = match cost {
        Cost::Bytes(label) if log => Axis::log_bytes(label, least, most),
        Cost::Bytes(label) => Axis::bytes(label, most, 6),
        Cost::Ratio(label) if log => Axis::log(label, least, most),
        Cost::Ratio(label) => Axis::linear(label, least, most, 6),
    };
    let pad = ((high - low) * 0.15).max(0.005);
    let mut y = Axis::linear("test accuracy (fraction)", low - pad, high + pad, 6);
    if y.high > 1.0 {
        // Room above 1 for a whole marker at 1, without a tick.
        let high = 1.0 + (y.high - y.low) * 0.02;
        y = y.until(high);
    }
    (x, y)
}

/// Draws the front as steps up to the right end of the axes. Returns where the steps would cross
/// labels.
fn steps(
    canvas: &Canvas<'_>,
    panel: &Panel<'_, '_>,
    front: impl Iterator<Item = (f64, f64)>,
) -> Result<Vec<Frame>> {
    let mut points: Vec<(i32, i32)> = Vec::new();
    for (x, y) in front.map(|(cost, accuracy)| panel.at(cost, accuracy)) {
        points.extend(points.last().map(|&(_, below)| (x, below)));
        points.push((x, y));
    }
    if let Some(&(_, y)) = points.last() {
        points.push((panel.inside().right, y));
        canvas.path(&points, theme::AXIS, 1, true)?;
    }
    let frame = |ends: &[(i32, i32)]| Frame {
        left: ends[0].0,
        top: ends[0].1.min(ends[1].1) - 1,
        right: ends[1].0 + 1,
        bottom: ends[0].1.max(ends[1].1) + 1,
    };
    Ok(points.windows(2).map(frame).collect())
}

/// Draws one candidate's mean with its bars and, if there are few candidates, a faint dot for each
/// seed. Returns the area that labels must avoid.
fn marker(
    canvas: &Canvas<'_>,
    panel: &Panel<'_, '_>,
    candidate: &Candidate<'_>,
    look: Look,
    few: bool,
) -> Result<Option<Frame>> {
    let (cost, cost_low, cost_high) = mean_and_range(candidate.cost.iter().copied());
    let (accuracy, low, high) = mean_and_range(candidate.accuracy.iter().copied());
    if !cost.is_finite() || !accuracy.is_finite() {
        return Ok(None);
    }
    for (x, y) in candidate.cost.iter().zip(candidate.accuracy).filter(|_| few) {
        let (x, y) = panel.at(*x, *y);
        let dot = [(x - 3, y), (x, y - 3), (x + 3, y), (x, y + 3)];
        canvas.polygon(&dot, look.ink, 0.35)?;
    }
    let (x, y) = panel.at(cost, accuracy);
    let (top, bottom) = (panel.at(cost, high).1, panel.at(cost, low).1);
    let (left, right) = (panel.at(cost_low, accuracy).0, panel.at(cost_high, accuracy).0);
    canvas.path(&[(x, top), (x, bottom)], look.ink, 1, false)?;
    canvas.path(&[(left, y), (right, y)], look.ink, 1, false)?;
    for at in [top, bottom] {
        canvas.path(&[(x - 3, at), (x + 3, at)], look.ink, 1, false)?;
    }
    let radius = if few { 6 } else { 4 };
    canvas.mark((x, y), look, radius)?;
    let room = radius + 2;
    // With many candidates only the marker itself is kept clear, or no label would fit.
    let (top, bottom) =
        if few { (top.min(y - room), bottom.max(y + room)) } else { (y - 5, y + 5) };
    Ok(Some(Frame { left: x - room, top, right: x + room, bottom }))
}

/// Writes a label as near to `(x, y)` as it fits without touching anything placed before, with a
/// thin line to its marker if it is far away; right beside the marker if it fits nowhere.
fn write(
    canvas: &Canvas<'_>,
    taken: &[Frame],
    inside: Frame,
    (x, y): (i32, i32),
    label: &str,
    size: f64,
) -> Result<Frame> {
    let (width, half) = (text::width(label, size), (size * 0.6) as i32);
    let frame = |left: i32, middle: i32| Frame {
        left,
        top: middle - half,
        right: left + width,
        bottom: middle + half,
    };
    let row = 2 * half + 1;
    let tries = (0..16).flat_map(|i| {
        let aside = 10 + 3 * i;
        [y - i * row, y + i * row]
            .into_iter()
            .flat_map(move |y| [frame(x + aside, y), frame(x - aside - width, y)])
    });
    let apart = |a: &Frame, b: &Frame| {
        a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top
    };
    let fits = |f: &Frame| {
        f.left >= inside.left
            && f.right <= inside.right
            && f.top >= inside.top
            && f.bottom <= inside.bottom
            && taken.iter().all(|t| apart(f, t))
    };
    let at = tries.into_iter().find(fits).unwrap_or_else(|| frame(x + 10, y));
    let middle = (at.top + at.bottom) / 2;
    if (middle - y).abs() > row {
        let near = if at.left > x { at.left - 1 } else { at.right + 1 };
        canvas.path(&[(x, y), (near, middle)], theme::AXIS, 1, false)?;
    }
    canvas.print((at.left, middle), label, size, theme::TEXT, Anchor::Start)?;
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_on_the_front_is_beaten_on_both_counts() {
        let points = [
            (4.0, 0.9),
            (1.0, 0.5),
            (2.0, 0.8),
            (2.0, 0.7),
            (3.0, 0.8),
            (f64::NAN, 1.0),
            (5.0, 0.9),
        ];
        assert_eq!(pareto_front(&points), [1, 2, 0]);
        assert_eq!(pareto_front(&[]), [0usize; 0]);
    }

    #[test]
    fn families_are_numbered_as_they_appear() {
        let of = |family| Candidate { name: "", family, cost: &[], accuracy: &[] };
        let candidates = [of("none"), of("pool"), of("q"), of("pool")];
        assert_eq!((0..4).map(|i| family(&candidates, i)).collect::<Vec<_>>(), [0, 1, 2, 1]);
    }
}
