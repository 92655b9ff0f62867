//! How close compressed gradients are to the exact ones, in every layer and at every probed step.

use std::collections::{HashMap, HashSet};

use packlight_figure::{Compared, Figure, Heatmap, cosine_heatmap};
use polars::prelude::DataFrame;

use super::{Source, slug};
use crate::Result;
use crate::format::cosine;
use crate::frame::{describe, distinct, numbers, only, texts};
use crate::plan::{ParameterRow, PlanRow};

impl Source<'_> {
    /// Compares each layer's exact and compressed gradient from one backward pass.
    pub(super) fn heatmap(&self, plan: &PlanRow) -> Result<Figure> {
        let gradients = only(&self.tables.gradients, "plan", &plan.plan.name)?;
        let title = match (plan.cosine(), plan.worst()) {
            (Some(mean), Some(worst)) => format!(
                "{}: mean cosine {} over the {} layers it compresses, lowest in {} ({})",
                plan.plan.name,
                cosine(mean),
                plan.compressed().count(),
                worst.layer,
                cosine(worst.cosine),
            ),
            _ => {
                format!(
                    "{}: the cosine is undefined in all layers that it compresses",
                    plan.plan.name
                )
            }
        };
        let layers = self.probed(&[plan]);
        let rows = Rows { compared: Compared::SideBySide, key: "layer", names: &layers };
        // All plans share one scale.
        let signed = any_negative(&self.tables.gradients)?;
        let id = format!("cosine-{}", slug(self, &plan.plan.name));
        self.cosines(id, title, &gradients, &rows, signed)
    }

    /// Compares each parameter's gradients from two whole backward passes; `None` if none were
    /// recorded or none differ. Parameters whose gradients never differ are counted, not drawn.
    pub(super) fn whole(&self, plan: &PlanRow) -> Result<Option<Figure>> {
        let gradients = only(&self.tables.whole_gradients, "plan", &plan.plan.name)?;
        if gradients.height() == 0 {
            return Ok(None);
        }
        let Some(mean) = plan.whole_cosine() else { return Ok(None) };
        let all: HashSet<String> = texts(&gradients, "parameter")?.into_iter().collect();
        let mut changed: Vec<&ParameterRow> = plan.changed().collect();
        changed.sort_by_key(|row| self.place(&row.parameter));
        let defined = changed.iter().filter(|row| row.cosine.is_finite());
        let lowest = defined.min_by(|a, b| a.cosine.total_cmp(&b.cosine));
        let title = format!(
            "{}, whole passes: mean cosine {} over the {} of {} parameters whose gradient changes{}",
            plan.plan.name,
            cosine(mean),
            changed.len(),
            all.len(),
            lowest.map_or_else(String::new, |row| {
                format!(", lowest in {} ({})", row.parameter, cosine(row.cosine))
            }),
        );
        let names: Vec<String> = changed.iter().map(|row| row.parameter.clone()).collect();
        let rows = Rows { compared: Compared::WholePasses, key: "parameter", names: &names };
        let signed = any_negative(&self.tables.whole_gradients)?;
        let id = format!("whole-passes-{}", slug(self, &plan.plan.name));
        self.cosines(id, title, &gradients, &rows, signed).map(Some)
    }

    /// The position of a parameter's layer in forward order; an unlisted layer comes last.
    fn place(&self, parameter: &str) -> usize {
        let layer = parameter.rsplit_once('.').map_or(parameter, |(layer, _)| layer);
        let known = self.tables.layers.iter().position(|(name, _)| name == layer);
        known.unwrap_or(self.tables.layers.len())
    }

    /// The heatmap of one plan's `gradients`.
    fn cosines(
        &self,
        id: String,
        title: String,
        gradients: &DataFrame,
        rows: &Rows<'_>,
        signed: bool,
    ) -> Result<Figure> {
        let steps = distinct(gradients, "step")?;
        let (cosine, norm) = (
            grid(gradients, rows, &steps, "cosine")?,
            grid(gradients, rows, &steps, "exact_norm")?,
        );
        let names: Vec<&str> = rows.names.iter().map(String::as_str).collect();
        let map = Heatmap {
            compared: rows.compared,
            layers: &names,
            steps: &steps,
            cosine: &cosine,
            norm: &norm,
            signed,
        };
        Ok(cosine_heatmap(&self.caption(id, title), &map)?)
    }
}

/// The rows of a heatmap, and the table's column that names them.
struct Rows<'a> {
    compared: Compared,
    key: &'static str,
    names: &'a [String],
}

fn any_negative(gradients: &DataFrame) -> Result<bool> {
    Ok(numbers(gradients, "cosine")?.iter().any(|c| *c < 0.0))
}

/// The mean of `value` over the seeds, for each row at each step; NaN if there is none.
fn grid(
    gradients: &DataFrame,
    rows: &Rows<'_>,
    steps: &[f64],
    value: &str,
) -> Result<Vec<Vec<f64>>> {
    let means = describe(gradients, &[rows.key, "step"], value)?;
    let places = texts(&means, rows.key)?.into_iter().zip(numbers(&means, "step")?);
    let at: HashMap<(String, u64), f64> =
        places.map(|(row, step)| (row, step as u64)).zip(numbers(&means, "mean")?).collect();
    let cell =
        |row: &String, step: f64| at.get(&(row.clone(), step as u64)).copied().unwrap_or(f64::NAN);
    Ok(rows.names.iter().map(|row| steps.iter().map(|s| cell(row, *s)).collect()).collect())
}
