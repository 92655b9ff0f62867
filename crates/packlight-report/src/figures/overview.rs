//! All plans in one figure: how close each layer's gradient is to the exact one.

use packlight_figure::{Figure, PlanCosines, cosine_overview};

use super::Source;
use crate::Result;
use crate::format::cosine;
use crate::plan::PlanRow;

impl Source<'_> {
    /// `None` if fewer than two plans change a gradient: a single one has its own heatmap.
    pub(super) fn overview(&self) -> Result<Option<Figure>> {
        let plans: Vec<&PlanRow> = self.plans.iter().filter(|p| p.compresses()).collect();
        let mut ranked: Vec<(f64, &str)> =
            plans.iter().filter_map(|p| Some((p.cosine()?, p.plan.name.as_str()))).collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        let ((Some((high, best)), Some((low, worst))), true) =
            ((ranked.first(), ranked.last()), ranked.len() > 1)
        else {
            return Ok(None);
        };
        let layers = self.probed(&plans);
        let cosines: Vec<Vec<f64>> = plans
            .iter()
            .map(|p| {
                let of = |layer: &String| p.layers.iter().find(|row| row.layer == *layer);
                layers.iter().map(|layer| of(layer).map_or(f64::NAN, |row| row.cosine)).collect()
            })
            .collect();
        let title = format!(
            "Mean cosine over the layers that a plan changes: from {} ({worst}) to {} ({best})",
            cosine(*low),
            cosine(*high),
        );
        let layers: Vec<&str> = layers.iter().map(String::as_str).collect();
        let rows: Vec<PlanCosines<'_>> = plans
            .iter()
            .zip(&cosines)
            .map(|(p, cosine)| PlanCosines {
                name: &p.plan.name,
                cosine,
                mean: p.cosine().unwrap_or(f64::NAN),
            })
            .collect();
        Ok(Some(cosine_overview(&self.caption("cosine-overview", title), &layers, &rows)?))
    }
}
