//! Accuracy against cost: one point for each plan, and the Pareto front.

use crate::axis::{Axis, binary};
use crate::canvas::{Canvas, Frame, draw};
use crate::data::{data, number};
use crate::family::{Family, occurring};
use crate::labels::Labels;
use crate::legend::{Entry, Key};
use crate::names::Names;
use crate::panel::Panel;
use crate::plan_list::{self, Item, plan_list};
use crate::theme::{self, Look};
use crate::{Caption, Figure, Result, check, mean_and_range, not_empty, text};

/// One plan's results, seed by seed.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The plan's name.
    pub name: &'a str,
    /// Its look where there are few plans.
    pub look: Look,
    /// Its family, which gives its look where there are many.
    pub family: Family,
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
    /// The relative error of a gradient.
    Error(&'a str),
}

impl Cost<'_> {
    /// The name of its column in the data.
    fn column(self) -> &'static str {
        match self {
            Cost::Bytes(_) => "bytes",
            Cost::Ratio(_) => "ratio",
            Cost::Error(_) => "gradient_error",
        }
    }

    fn text(self, value: f64) -> String {
        match self {
            Cost::Bytes(_) => binary(value),
            Cost::Ratio(_) => format!("{value:.2}×"),
            Cost::Error(_) => text::significant(value),
        }
    }
}

/// More plans than this have the looks of their families, and only some have labels.
const FEW: usize = 7;

const HOW_TO_READ: &str = "One marker for each plan: the mean over its seeds. Better is up and to the \
    left.";

const ALL: &str = " Bars reach from the lowest to the highest seed.";

const SOME: &str = " The legend gives each family of methods its colour and marker. Labels, with bars \
    from the lowest to the highest seed, are given to the first plan, to those at the ends of both \
    axes and to those on the Pareto front, if there is one; a pointer over a marker shows its plan. \
    The list below has all plans, from the cheapest to the most expensive.";

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
/// more than tenfold. Of more than seven plans only the first, the extremes and the front have labels,
/// and a list below the axes has all.
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
    let mut data = data(&["plan", "seed_index", cost.column(), "accuracy"])?;
    for candidate in candidates {
        not_empty(caption, "seed", candidate.accuracy.len())?;
        check(caption, candidate.name, candidate.accuracy.len(), candidate.cost.len())?;
        for (seed, (cost, accuracy)) in candidate.cost.iter().zip(candidate.accuracy).enumerate() {
            let name = candidate.name.to_string();
            data.write_record([name, seed.to_string(), number(*cost), number(*accuracy)])?;
        }
    }
    let all: Vec<Point> = candidates.iter().map(|c| Point::new(c, candidates.len())).collect();
    let means: Vec<(f64, f64)> = all.iter().map(|p| (p.cost.0, p.accuracy.0)).collect();
    let front = if with_front { pareto_front(&means) } else { Vec::new() };
    let few = candidates.len() <= FEW;
    let others = if few { (0..candidates.len()).collect() } else { extremes(&means) };
    let mut labelled = front.clone(); // first, so that their labels are nearest to their markers
    for i in others {
        if all[i].defined() && !labelled.contains(&i) {
            labelled.push(i);
        }
    }
    let shown = Names::new(candidates.iter().map(|c| c.name), theme::LABEL, theme::NAME);
    let (legend, below) = match few {
        true => (Vec::new(), 0),
        false => (legend(candidates), plan_list::height(candidates.len())),
    };
    let (x, y) = axes(cost, candidates);
    let height = theme::HEIGHT + below as u32 + if few { 0 } else { 60 };
    let svg = draw(caption, height, &legend, |canvas| {
        let frame = Frame { bottom: canvas.free.bottom - below, ..canvas.free };
        let panel = canvas.panel(frame, &x, &y, 0)?;
        let mut labels = Labels::new(panel.inside(), theme::LABEL);
        steps(canvas, &panel, front.iter().map(|&i| means[i]), &mut labels)?;
        for &i in &labelled {
            bars(canvas, &panel, &all[i], &mut labels)?;
        }
        for (point, candidate) in all.iter().zip(candidates).filter(|(p, _)| p.defined()) {
            if few {
                seeds(canvas, &panel, candidate, &mut labels)?;
            }
            marker(canvas, &panel, point, &mut labels)?;
            canvas.hover(point.area(&panel), &said(cost, candidate, point));
        }
        for &i in &labelled {
            let name = candidates[i].name;
            let n = if few { format!(" (n = {})", all[i].n) } else { String::new() };
            let label = (&*format!("{}{n}", shown.at(i)), &*format!("{name}{n}"));
            labels.write(canvas, all[i].at(&panel), label)?;
        }
        if !few {
            list(canvas, cost, candidates, &all)?;
        }
        Ok(())
    })?;
    let how = format!(
        "{HOW_TO_READ}{}{}{}",
        if few { ALL } else { SOME },
        if with_front { FRONT } else { "" },
        shown.key()
    );
    caption.figure(svg, data, how)
}

/// A candidate's mean, lowest and highest values, and its look.
struct Point {
    cost: (f64, f64, f64),
    accuracy: (f64, f64, f64),
    n: usize,
    look: Look,
    radius: i32,
}

impl Point {
    /// The point of one of `count` candidates.
    fn new(candidate: &Candidate<'_>, count: usize) -> Self {
        let (look, radius) = match count <= FEW {
            true => (candidate.look, 6),
            false => (candidate.family.look(), 5),
        };
        Self {
            cost: mean_and_range(candidate.cost.iter().copied()),
            accuracy: mean_and_range(candidate.accuracy.iter().copied()),
            n: candidate.accuracy.len(),
            look,
            radius,
        }
    }

    fn defined(&self) -> bool {
        self.cost.0.is_finite() && self.accuracy.0.is_finite()
    }

    fn at(&self, panel: &Panel<'_, '_>) -> (i32, i32) {
        panel.at(self.cost.0, self.accuracy.0)
    }

    /// The area of its marker.
    fn area(&self, panel: &Panel<'_, '_>) -> Frame {
        let ((x, y), r) = (self.at(panel), self.radius + 2);
        Frame { left: x - r, top: y - r, right: x + r, bottom: y + r }
    }
}

/// The first point and those at the ends of both axes.
fn extremes(points: &[(f64, f64)]) -> Vec<usize> {
    let order = |of: fn(&(f64, f64)) -> f64| {
        let defined = (0..points.len()).filter(|&i| of(&points[i]).is_finite());
        let mut order: Vec<usize> = defined.collect();
        order.sort_by(|&a, &b| of(&points[a]).total_cmp(&of(&points[b])));
        [order.first().copied(), order.last().copied()]
    };
    let ends = order(|p| p.0).into_iter().chain(order(|p| p.1));
    std::iter::once(0).chain(ends.flatten()).collect()
}

/// An entry for each family that occurs.
fn legend(candidates: &[Candidate<'_>]) -> Vec<Entry> {
    let families = occurring(candidates.iter().map(|c| c.family));
    families.into_iter().map(|f| Entry::new(f.name(), f.look(), Key::Mark)).collect()
}

/// What a pointer over a marker shows.
fn said(cost: Cost<'_>, candidate: &Candidate<'_>, point: &Point) -> String {
    let (mean, low, high) = point.accuracy;
    let accuracy = |value: f64| text::decimal(value, 0.001);
    format!(
        "{}: {}, accuracy {} ({} to {}), n = {}",
        candidate.name,
        cost.text(point.cost.0),
        accuracy(mean),
        accuracy(low),
        accuracy(high),
        point.n,
    )
}

/// All plans below the axes, from the cheapest to the most expensive.
fn list(
    canvas: &Canvas<'_>,
    cost: Cost<'_>,
    candidates: &[Candidate<'_>],
    all: &[Point],
) -> Result<()> {
    let mut order: Vec<(&Candidate<'_>, &Point)> = candidates.iter().zip(all).collect();
    order.sort_by(|a, b| a.1.cost.0.total_cmp(&b.1.cost.0));
    let dash = |text: String, value: f64| if value.is_finite() { text } else { "–".to_string() };
    let numbers = |point: &Point| {
        let (price, accuracy) = (point.cost.0, point.accuracy.0);
        [dash(cost.text(price), price), dash(text::decimal(accuracy, 0.001), accuracy)]
    };
    let items: Vec<Item<'_>> = order
        .iter()
        .map(|(c, point)| Item { name: c.name, look: point.look, numbers: numbers(point) })
        .collect();
    let column = cost.column().replace('_', " ");
    plan_list(canvas, canvas.free, [&column, "accuracy"], &items)
}

fn axes(cost: Cost<'_>, candidates: &[Candidate<'_>]) -> (Axis, Axis) {
    let (_, least, most) = mean_and_range(candidates.iter().flat_map(|c| c.cost.iter().copied()));
    let (_, low, high) = mean_and_range(candidates.iter().flat_map(|c| c.accuracy.iter().copied()));
    let log = least > 0.0 && most > 10.0 * least;
    let x = match cost {
        Cost::Bytes(label) if log => Axis::log_bytes(label, least, most),
        Cost::Bytes(label) => Axis::bytes(label, most, 6),
        Cost::Ratio(label) | Cost::Error(label) if log => Axis::log(label, least, most),
        Cost::Ratio(label) | Cost::Error(label) => Axis::linear(label, least, most, 6),
    };
    // No wider than the seeds, with room for whole markers: most plans lie close together.
    let pad = ((high - low) * 0.05).max(0.005);
    (x, Axis::within("test accuracy (fraction)", low - pad, high + pad, 6))
}

/// Draws the front as steps up to the right end of the axes.
fn steps(
    canvas: &Canvas<'_>,
    panel: &Panel<'_, '_>,
    front: impl Iterator<Item = (f64, f64)>,
    labels: &mut Labels,
) -> Result<()> {
    let mut points: Vec<(i32, i32)> = Vec::new();
    for (x, y) in front.map(|(cost, accuracy)| panel.at(cost, accuracy)) {
        points.extend(points.last().map(|&(_, below)| (x, below)));
        points.push((x, y));
    }
    if let Some(&(_, y)) = points.last() {
        points.push((panel.inside().right, y));
        canvas.path(&points, theme::AXIS, 1, true)?;
    }
    points.windows(2).for_each(|ends| labels.avoid_line(ends[0], ends[1]));
    Ok(())
}

/// A faint dot for each seed.
fn seeds(
    canvas: &Canvas<'_>,
    panel: &Panel<'_, '_>,
    candidate: &Candidate<'_>,
    labels: &mut Labels,
) -> Result<()> {
    for (cost, accuracy) in candidate.cost.iter().zip(candidate.accuracy) {
        if cost.is_finite() && accuracy.is_finite() {
            let (x, y) = panel.at(*cost, *accuracy);
            let dot = [(x - 3, y), (x, y - 3), (x + 3, y), (x, y + 3)];
            canvas.polygon(&dot, candidate.look.ink, 0.35)?;
            labels.avoid(Frame { left: x - 3, top: y - 3, right: x + 3, bottom: y + 3 });
        }
    }
    Ok(())
}

/// Bars from the lowest to the highest seed.
fn bars(
    canvas: &Canvas<'_>,
    panel: &Panel<'_, '_>,
    point: &Point,
    labels: &mut Labels,
) -> Result<()> {
    let (x, y) = point.at(panel);
    let [top, bottom] = [point.accuracy.2, point.accuracy.1].map(|at| panel.at(point.cost.0, at).1);
    let [left, right] = [point.cost.1, point.cost.2].map(|at| panel.at(at, point.accuracy.0).0);
    let mut lines = vec![[(x, top), (x, bottom)], [(left, y), (right, y)]];
    lines.extend([top, bottom].map(|at| [(x - 3, at), (x + 3, at)]));
    for line in lines {
        canvas.path(&line, point.look.ink, 1, false)?;
        labels.avoid_line(line[0], line[1]);
    }
    Ok(())
}

fn marker(
    canvas: &Canvas<'_>,
    panel: &Panel<'_, '_>,
    point: &Point,
    labels: &mut Labels,
) -> Result<()> {
    labels.avoid(point.area(panel));
    canvas.mark(point.at(panel), point.look, point.radius)
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
}
