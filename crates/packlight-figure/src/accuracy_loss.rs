//! Loss of accuracy against bytes, for the plans of several networks.

use crate::axis::Axis;
use crate::canvas::{Canvas, Frame, draw};
use crate::data::{data, number};
use crate::family::{Family, occurring};
use crate::legend::{Entry, Key};
use crate::names::Names;
use crate::panel::Panel;
use crate::{Caption, Figure, Result, mean_and_range, not_empty, pareto_front, rows, text, theme};

/// A plan compared with the exact plan of the same network.
#[derive(Debug, Clone, Copy)]
pub struct PlanLoss<'a> {
    /// The plan's name.
    pub plan: &'a str,
    /// Its family.
    pub family: Family,
    /// The most bytes held at once, as a fraction of the exact plan's.
    pub bytes: f64,
    /// The mean difference of accuracy to the exact plan, in percentage points.
    pub difference: f64,
    /// The number of seeds that both have.
    pub n: usize,
}

/// The plans of one network.
#[derive(Debug, Clone, Copy)]
pub struct NetworkLosses<'a> {
    /// The network's name.
    pub name: &'a str,
    /// Its plans.
    pub plans: &'a [PlanLoss<'a>],
}

/// The lowest difference that the axis shows, in points.
const FLOOR: f64 = -20.0;
/// The height of a panel with its heading and axis.
const PANEL: u32 = 260;

const HOW_TO_READ: &str = "One panel for each network, all with the same axes, and one marker for each \
    plan: how many points of test accuracy it gains or loses against the exact plan of the same \
    network, as the mean over the seeds that both have, against the most bytes that it holds at once. \
    Better is up and to the left; the dashed line is the exact plan's accuracy. The legend gives each \
    family of methods its colour and marker. A line joins the plans of a family that no other plan of \
    the family beats on both counts. Losses of more than 20 points are drawn at the lower end. A \
    pointer over a marker shows its plan and numbers.";

/// Draws a panel for each network; plans whose bytes or difference are not finite are left out.
///
/// # Errors
/// Returns an error if there is no network, or none has a plan that can be drawn.
pub fn accuracy_loss(caption: &Caption, networks: &[NetworkLosses<'_>]) -> Result<Figure> {
    not_empty(caption, "network", networks.len())?;
    let drawn = |plan: &&PlanLoss<'_>| plan.bytes > 0.0 && plan.difference.is_finite();
    let all = || networks.iter().flat_map(|network| network.plans).filter(drawn);
    not_empty(caption, "plan", all().count())?;
    let mut data =
        data(&["network", "plan", "family", "bytes_fraction", "accuracy_points", "seeds"])?;
    for network in networks {
        for plan in network.plans {
            let names = [network.name, plan.plan, plan.family.name()].map(String::from);
            let numbers = [plan.bytes, plan.difference, plan.n as f64].map(number);
            data.write_record(names.into_iter().chain(numbers))?;
        }
    }
    let (_, fewest, most) = mean_and_range(all().map(|plan| plan.bytes));
    let (_, low, high) = mean_and_range(all().map(|plan| plan.difference.max(FLOOR)));
    let x = Axis::log("bytes held (exact = 1)", fewest.min(0.5), most.max(1.0));
    let y = Axis::linear("change of accuracy (points)", low.min(-1.0), high.max(1.0), 5);
    let families = occurring(all().map(|plan| plan.family));
    let legend: Vec<_> =
        families.iter().map(|f| Entry::new(f.name(), f.look(), Key::Mark)).collect();
    let across = networks.len().min(rows::ACROSS);
    let tiers = networks.len().div_ceil(across);
    let height = theme::HEIGHT.max(170 + PANEL * tiers as u32);
    let svg = draw(caption, height, &legend, |canvas| {
        let frames = canvas.free.grid(tiers, across, 18);
        let room = frames[0].right - frames[0].left - 60;
        let names = Names::new(networks.iter().map(|n| n.name), theme::LABEL * 1.1, room);
        for (i, (frame, network)) in frames.into_iter().zip(networks).enumerate() {
            let panel = canvas.panel(Frame { top: frame.top + 24, ..frame }, &x, &y, 0)?;
            panel.heading(names.at(i), names.full(i))?;
            panel.level(0.0, theme::MUTED, true)?;
            let plans: Vec<&PlanLoss<'_>> = network.plans.iter().filter(drawn).collect();
            for family in &families {
                let kin: Vec<_> = plans.iter().copied().filter(|p| p.family == *family).collect();
                family_marks(canvas, &panel, *family, &kin)?;
            }
        }
        Ok(())
    })?;
    caption.figure(svg, data, HOW_TO_READ)
}

/// The markers of one family, and the line along its front.
fn family_marks(
    canvas: &Canvas<'_>,
    panel: &Panel<'_, '_>,
    family: Family,
    plans: &[&PlanLoss<'_>],
) -> Result<()> {
    let values: Vec<(f64, f64)> =
        plans.iter().map(|plan| (plan.bytes, plan.difference.max(FLOOR))).collect();
    let at = |i: usize| panel.at(values[i].0, values[i].1);
    let front: Vec<(i32, i32)> = pareto_front(&values).into_iter().map(at).collect();
    if front.len() > 1 {
        canvas.path(&front, family.look().ink, 1, false)?;
    }
    for (i, plan) in plans.iter().enumerate() {
        let (x, y) = at(i);
        canvas.mark((x, y), family.look(), 4)?;
        let said = format!(
            "{}: {} points, {} of the bytes, n = {}",
            plan.plan,
            text::decimal(plan.difference, 0.1),
            text::significant(plan.bytes),
            plan.n
        );
        canvas.hover(Frame { left: x - 6, top: y - 6, right: x + 6, bottom: y + 6 }, &said);
    }
    Ok(())
}
