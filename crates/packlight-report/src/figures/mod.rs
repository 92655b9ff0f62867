//! The figures of a report: from tables to the slices that the figures take.

mod collection;
mod fidelity;
mod foretelling;
mod gradient_error;
mod heatmaps;
mod memory;
mod moves;
mod overview;
mod probes;
mod tradeoff;
mod training;

use std::collections::BTreeSet;

pub(crate) use collection::{Network, collection_figure};

use packlight_figure::{Caption, Figure, Look};
use polars::prelude::DataFrame;

use crate::Result;
use crate::finding::Finding;
use crate::format::count;
use crate::frame::{numbers, whole};
use crate::plan::{PlanRow, codecs};
use crate::study::Study;
use crate::tables::Tables;

/// The input of figures and tables.
pub(crate) struct Source<'a> {
    pub(crate) study: &'a Study,
    pub(crate) tables: &'a Tables,
    pub(crate) plans: &'a [PlanRow],
    pub(crate) findings: &'a [Finding],
}

/// Figures of one kind or of one plan, shown together.
pub(crate) struct FigureGroup {
    /// The heading under which the page folds them away; `None` to show them openly.
    pub(crate) folded: Option<String>,
    pub(crate) figures: Vec<Figure>,
}

/// The most plans in one figure. More plans make several figures of a kind, each with the baseline,
/// which are folded away.
const TOGETHER: usize = 7;

/// A mean error of a gradient below this is rounding in f32: another order of the same sums.
const ROUNDING: f64 = 1e-5;

/// All figures that there are records for, in the order of the page.
///
/// # Errors
/// Returns an error if a figure cannot be drawn.
pub(crate) fn all(source: &Source<'_>) -> Result<Vec<FigureGroup>> {
    let mut groups = Vec::new();
    let many = source.plans.len() > TOGETHER;
    let mut put = |title: String, figures: Vec<Figure>| {
        if !figures.is_empty() {
            groups.push(FigureGroup { folded: Some(title).filter(|_| many), figures });
        }
    };
    let all: Vec<&PlanRow> = source.plans.iter().collect();
    let once: Vec<&PlanRow> = codecs(source.plans).collect();
    let altering: Vec<&PlanRow> = source.plans.iter().filter(|p| p.compresses()).collect();
    let wrong: Vec<&PlanRow> =
        source.plans.iter().filter(|p| p.changed().next().is_some()).collect();
    put("Loss and accuracy, plan by plan".into(), source.in_groups(&all, Source::curves)?);
    let (tradeoffs, overview) = (source.tradeoffs()?, source.overview()?);
    let foretelling = source.foretelling()?;
    put("Gradient error over training".into(), source.in_groups(&wrong, Source::gradient_error)?);
    put("Memory over a training step".into(), source.in_groups(&once, Source::timeline)?);
    put("Bytes kept, layer by layer".into(), source.in_groups(&once, Source::kept)?);
    for plan in source.plans {
        let moved = source.moves(plan)?;
        put(format!("Codecs of {} over training", plan.plan.name), moved.into_iter().collect());
    }
    for plan in source.plans.iter().filter(|p| p.alters()) {
        let mut figures = match plan.compresses() {
            true => vec![source.heatmap(plan)?, source.multiples(plan)?],
            false => Vec::new(),
        };
        figures.extend(source.whole(plan)?);
        put(format!("Gradients of {}, layer by layer", plan.plan.name), figures);
    }
    put(
        "Learning indicator, layer by layer".into(),
        source.in_groups(&altering, Source::indicator)?,
    );
    let open = FigureGroup {
        folded: None,
        figures: tradeoffs.into_iter().chain(foretelling).chain(overview).collect(),
    };
    groups.insert(usize::from(!many && !groups.is_empty()), open);
    Ok(groups)
}

/// A plan's name as part of a file name; plans that would collide get a number.
fn slug(source: &Source<'_>, name: &str) -> String {
    let plain = |name: &str| -> String {
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
    };
    let index = source.plans.iter().position(|p| p.plan.name == name).unwrap_or_default();
    let alike = source.plans.iter().filter(|p| plain(&p.plan.name) == plain(name)).count();
    if alike > 1 { format!("{}-{index}", plain(name)) } else { plain(name) }
}

impl Source<'_> {
    /// The exact plan.
    pub(crate) fn base(&self) -> Option<&PlanRow> {
        let name = &self.study.baseline()?.name;
        self.plans.iter().find(|p| p.plan.name == *name)
    }

    /// The look of a plan in every figure of the page: a colour of its own within its group.
    fn look(&self, plan: &str) -> Look {
        match self.group_and_place(plan) {
            Some((group, place)) => Look::plan(group * TOGETHER + place + 1),
            None => Look::plan(0),
        }
    }

    /// The group of a plan and its place in it; `None` for the baseline, which is in every group.
    fn group_and_place(&self, plan: &str) -> Option<(usize, usize)> {
        let base = self.base().map(|base| &base.plan.name);
        let mut others = self.plans.iter().map(|p| &p.plan.name).filter(|name| Some(*name) != base);
        let index = others.position(|name| name == plan)?;
        Some((index / (TOGETHER - 1), index % (TOGETHER - 1)))
    }

    /// Those of `plans` that share a figure, in groups that are the same for every kind of figure.
    /// Each group starts with the baseline, if it is among `plans`.
    fn groups<'p>(&self, plans: &[&'p PlanRow]) -> Vec<Vec<&'p PlanRow>> {
        let group = |plan: &PlanRow| Some(self.group_and_place(&plan.plan.name)?.0);
        let base = || plans.iter().filter(|p| group(p).is_none()).copied();
        let mut groups: Vec<(usize, Vec<&PlanRow>)> = Vec::new();
        for plan in plans {
            match (group(plan), groups.last_mut()) {
                (Some(number), Some((last, members))) if number == *last => members.push(plan),
                (Some(number), _) => groups.push((number, base().chain([*plan]).collect())),
                (None, _) => {}
            }
        }
        if groups.is_empty() {
            groups.push((0, base().collect()));
        }
        groups.into_iter().map(|(_, members)| members).collect()
    }

    /// One figure for each group of plans; all but the first have a number in their id.
    fn in_groups(
        &self,
        plans: &[&PlanRow],
        draw: impl Fn(&Self, &str, &[&PlanRow]) -> Result<Option<Figure>>,
    ) -> Result<Vec<Figure>> {
        let mut figures = Vec::new();
        for (i, group) in self.groups(plans).iter().enumerate() {
            let number = if i == 0 { String::new() } else { format!("-{}", i + 1) };
            figures.extend(draw(self, &number, group)?);
        }
        Ok(figures)
    }

    /// The study's title.
    pub(crate) fn title(&self) -> &str {
        &self.study.title
    }

    /// Model, data, seeds and epochs: the subtitle of every figure.
    pub(crate) fn setting(&self) -> String {
        let Some(first) = self.study.runs.first().map(|r| &r.manifest) else {
            return String::new();
        };
        let seeds: BTreeSet<u64> = self.study.runs.iter().map(|r| r.manifest.seed).collect();
        let planned = || self.plans.iter().map(|p| p.planned_epochs);
        let epochs = match (planned().min(), planned().max()) {
            (Some(fewest), Some(most)) if fewest < most => format!("{fewest} to {most} epochs"),
            (_, most) => count(most.unwrap_or(0), "epoch"),
        };
        format!(
            "{}; {}, {} training, {} test samples; {}, {}, batch {}",
            first.model,
            first.data,
            first.train_samples,
            first.test_samples,
            count(seeds.len() as u64, "seed"),
            epochs,
            first.batch,
        )
    }

    fn caption(&self, id: impl Into<String>, title: impl Into<String>) -> Caption {
        Caption::new(id, title).subtitle(self.setting())
    }

    /// The layers that were probed under any of `plans`, in forward order.
    fn probed(&self, plans: &[&PlanRow]) -> Vec<String> {
        let rows = plans.iter().flat_map(|plan| &plan.layers);
        self.in_order(&rows.map(|row| row.layer.clone()).collect::<Vec<_>>())
    }

    /// The distinct names of `seen` in forward order; unlisted ones come last.
    fn in_order(&self, seen: &[String]) -> Vec<String> {
        let known = self.tables.layers.iter().map(|(layer, _)| layer);
        let mut names: Vec<String> = known.filter(|l| seen.contains(l)).cloned().collect();
        for name in seen {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }
}

/// For each seed, in ascending order, its value at each of `x`; NaN if it has none.
fn by_seed(frame: &DataFrame, at: &str, x: &[f64], value: &str) -> Result<Vec<Vec<f64>>> {
    let (seeds, places) = (whole(frame, "seed")?, numbers(frame, at)?);
    let values = numbers(frame, value)?;
    let find = |seed: u64, x: f64| {
        let row = (0..values.len()).find(|&i| seeds[i] == seed && places[i] == x);
        row.map_or(f64::NAN, |i| values[i])
    };
    let all: BTreeSet<u64> = seeds.iter().copied().collect();
    Ok(all.iter().map(|seed| x.iter().map(|x| find(*seed, *x)).collect()).collect())
}
