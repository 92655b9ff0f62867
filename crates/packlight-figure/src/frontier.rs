//! Bytes kept against the predicted error of the whole gradient: the frontier and plans beside it.

use crate::axis::{Axis, binary};
use crate::canvas::{Anchor, Canvas, Frame, draw};
use crate::data::{data, number};
use crate::family::{Family, occurring};
use crate::labels::Labels;
use crate::legend::{Entry, Key};
use crate::names::Names;
use crate::panel::Panel;
use crate::{Caption, Figure, Result, mean_and_range, not_empty, text, theme};

/// A plan with one codec at every layer that it can pack.
#[derive(Debug, Clone, Copy)]
pub struct UniformPlan<'a> {
    /// Its codec.
    pub codec: &'a str,
    /// The codec's family.
    pub family: Family,
    /// Bytes kept.
    pub bytes: f64,
    /// The predicted error of the whole gradient, relative to its norm.
    pub error: f64,
    /// The lower end of its 95 % interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// The number of measurements.
    pub n: u64,
}

const HOW_TO_READ: &str = "The line joins the allocations that no other beats: none keeps as few bytes and \
    has as small an error. The dashed line is where everything is kept exactly; its error is 0 and cannot be \
    shown on this axis. Each marker is a plan with one codec at all layers that it can pack, with a bar for \
    its 95 % interval; its distance above the line is what choosing layer by layer gains at equal bytes, and \
    its distance to the right is what it saves at equal error. Both axes are logarithmic. Errors are \
    predicted: the squares of the layers' own errors, each measured alone, are added.";

const KNEE: &str = " The ring is the knee: of the allocations, the one farthest below the straight line between \
    the ends.";

/// Draws the `frontier` (bytes, error), by falling bytes, with its `knee` as an index, the bytes of the
/// exact plan, and plans beside it. What has no error or no bytes cannot be drawn and is left out.
///
/// # Errors
/// Returns an error if nothing of the frontier can be drawn.
pub fn frontier(
    caption: &Caption,
    frontier: &[(f64, f64)],
    knee: Option<usize>,
    exact: f64,
    plans: &[UniformPlan<'_>],
) -> Result<Figure> {
    let mut data = data(&["kind", "codec", "kept_bytes", "error", "low", "high", "n", "knee"])?;
    for (i, (bytes, error)) in frontier.iter().enumerate() {
        let knee = (knee == Some(i)).to_string();
        let [bytes, error] = [*bytes, *error].map(number);
        data.write_record(["frontier", "", &bytes, &error, "", "", "", &knee])?;
    }
    for plan in plans {
        let numbers = [plan.bytes, plan.error, plan.low, plan.high, plan.n as f64].map(number);
        let names = ["uniform", plan.codec].map(String::from).into_iter();
        data.write_record(names.chain(numbers).chain([String::new()]))?;
    }
    let drawn = |bytes: f64, error: f64| bytes > 0.0 && error > 0.0 && error.is_finite();
    let line: Vec<(f64, f64)> = frontier.iter().copied().filter(|p| drawn(p.0, p.1)).collect();
    let plans: Vec<_> = plans.iter().filter(|plan| drawn(plan.bytes, plan.error)).collect();
    not_empty(caption, "allocation", line.len())?;
    let all = || line.iter().copied().chain(plans.iter().map(|plan| (plan.bytes, plan.error)));
    let (_, least, most) = mean_and_range(all().map(|p| p.0).chain([exact]));
    let ends = plans.iter().flat_map(|plan| [plan.low, plan.high]).filter(|end| *end > 0.0);
    let (_, low, high) = mean_and_range(all().map(|p| p.1).chain(ends));
    let x = Axis::log_bytes("bytes kept for the backward pass", least * 0.95, most * 1.05);
    let y = Axis::log("predicted error of the whole gradient", low * 0.9, high * 1.1);
    let families = occurring(plans.iter().map(|plan| plan.family));
    let mut legend = vec![Entry::new("best allocations", theme::plan(0), Key::Line)];
    legend.extend(families.iter().map(|f| Entry::new(f.name(), f.look(), Key::Mark)));
    let shown = Names::new(plans.iter().map(|p| p.codec), theme::LABEL, theme::NAME);
    let svg = draw(caption, theme::HEIGHT + 60, &legend, |canvas| {
        let panel = canvas.panel(canvas.free, &x, &y, 0)?;
        let mut labels = Labels::new(panel.inside(), theme::LABEL);
        panel.upright(exact, theme::MUTED, true)?;
        let at = panel.at(exact, high);
        labels.avoid_line((at.0, panel.inside().top), (at.0, panel.inside().bottom));
        best(canvas, &panel, &line, &mut labels)?;
        for plan in &plans {
            let area = around(panel.at(plan.bytes, plan.error), 7);
            labels.avoid(area);
            canvas.mark(panel.at(plan.bytes, plan.error), plan.family.look(), 5)?;
            let ends = [plan.high, plan.low.max(low)].map(|end| panel.at(plan.bytes, end));
            canvas.path(&ends, plan.family.look().ink, 1, false)?;
            labels.avoid_line(ends[0], ends[1]);
            let interval = format!(" ({})", text::interval(plan.low, plan.high, plan.n));
            canvas.hover(area, &(said(plan.codec, plan.bytes, plan.error) + &interval));
        }
        if let Some((bytes, error)) = knee.map(|knee| frontier[knee]).filter(|p| drawn(p.0, p.1)) {
            let (x, y) = panel.at(bytes, error);
            ring(canvas, (x, y))?;
            labels.avoid(around((x, y), 10));
            labels.write(canvas, (x, y), ("knee", &*said("knee", bytes, error)))?;
        }
        for (i, plan) in plans.iter().enumerate() {
            labels.write(canvas, panel.at(plan.bytes, plan.error), (shown.at(i), plan.codec))?;
        }
        let beside = (at.0 - 8, panel.inside().top + 12);
        canvas.print(beside, "exact", theme::TICK, theme::MUTED, Anchor::End)
    })?;
    caption.figure(
        svg,
        data,
        format!("{HOW_TO_READ}{}{}", if knee.is_some() { KNEE } else { "" }, shown.key()),
    )
}

/// The line of the frontier, with a dot for each allocation where there are few.
fn best(
    canvas: &Canvas<'_>,
    panel: &Panel<'_, '_>,
    line: &[(f64, f64)],
    labels: &mut Labels,
) -> Result<()> {
    let points: Vec<(i32, i32)> = line.iter().map(|p| panel.at(p.0, p.1)).collect();
    if points.len() > 1 {
        canvas.path(&points, theme::plan(0).ink, 2, false)?;
    }
    points.windows(2).for_each(|ends| labels.avoid_line(ends[0], ends[1]));
    for ((bytes, error), at) in line.iter().zip(&points) {
        if line.len() <= 60 {
            canvas.mark(*at, theme::plan(0), 2)?;
        }
        canvas.hover(around(*at, 3), &said("allocation", *bytes, *error));
    }
    Ok(())
}

fn said(what: &str, bytes: f64, error: f64) -> String {
    format!("{what}: keeps {}, predicted error {}", binary(bytes), text::significant(error))
}

fn around((x, y): (i32, i32), r: i32) -> Frame {
    Frame { left: x - r, top: y - r, right: x + r, bottom: y + r }
}

/// A ring of twenty-four corners.
fn ring(canvas: &Canvas<'_>, (x, y): (i32, i32)) -> Result<()> {
    let corner = |i: i32| {
        let angle = f64::from(i) * std::f64::consts::TAU / 24.0;
        (x + (9.0 * angle.cos()).round() as i32, y + (9.0 * angle.sin()).round() as i32)
    };
    let corners: Vec<(i32, i32)> = (0..=24).map(corner).collect();
    canvas.path(&corners, theme::TEXT, 2, false)
}
