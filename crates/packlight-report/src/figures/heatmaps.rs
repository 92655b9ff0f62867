//! How close compressed gradients are to the exact ones, in every layer and at every probed step.

use packlight_figure::{Caption, Compared, Figure, Heatmap, cosine_heatmap};
use packlight_record::Record;

use super::probes::Probes;
use super::{Source, slug};
use crate::Result;
use crate::format::cosine;
use crate::plan::{ParameterRow, PlanRow};
use crate::tables::finite;

impl Source<'_> {
    /// Compares each layer's exact and compressed gradient from one backward pass.
    pub(super) fn heatmap(&self, plan: &PlanRow) -> Result<Figure> {
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
        let id = format!("cosine-{}", slug(self, &plan.plan.name));
        self.cosines(self.caption(id, title), plan, Compared::SideBySide, &layers)
    }

    /// Compares each parameter's gradients from two whole backward passes; `None` if none were
    /// recorded or none differ. Parameters whose gradients never differ are counted, not drawn.
    pub(super) fn whole(&self, plan: &PlanRow) -> Result<Option<Figure>> {
        let all = self.study.averages(&plan.plan.name).map_or(0, |all| all.parameters.len());
        let Some(mean) = plan.whole_cosine() else {
            return Ok(None);
        };
        let mut changed: Vec<&ParameterRow> = plan.changed().collect();
        changed.sort_by_key(|row| self.place(&row.parameter));
        let defined = changed.iter().filter(|row| row.cosine.is_finite());
        let lowest = defined.min_by(|a, b| a.cosine.total_cmp(&b.cosine));
        let title = format!(
            "{}, whole passes: mean cosine {} over the {} of {} parameters whose gradient changes{}",
            plan.plan.name,
            cosine(mean),
            changed.len(),
            all,
            lowest.map_or_else(String::new, |row| {
                format!(", lowest in {} ({})", row.parameter, cosine(row.cosine))
            }),
        );
        let names: Vec<String> = changed.iter().map(|row| row.parameter.clone()).collect();
        let id = format!("whole-passes-{}", slug(self, &plan.plan.name));
        self.cosines(self.caption(id, title), plan, Compared::WholePasses, &names).map(Some)
    }

    /// The position of a parameter's layer in forward order; an unlisted layer comes last.
    fn place(&self, parameter: &str) -> usize {
        let layer = parameter.rsplit_once('.').map_or(parameter, |(layer, _)| layer);
        let known = self.tables.layers.iter().position(|(name, _)| name == layer);
        known.unwrap_or(self.tables.layers.len())
    }

    /// The heatmap of a plan's gradients of these layers or parameters.
    fn cosines(
        &self,
        caption: Caption,
        plan: &PlanRow,
        compared: Compared,
        names: &[String],
    ) -> Result<Figure> {
        let probes = Probes::of(self.study, &plan.plan.name, compared);
        let cosine = probes.means(names, |fidelity| fidelity.cosine);
        let norm = probes.means(names, |fidelity| finite(fidelity.exact_norm));
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let map = Heatmap {
            compared,
            layers: &names,
            steps: &probes.steps(),
            cosine: &cosine,
            norm: &norm,
            signed: self.any_negative(compared), // all plans share one scale
        };
        Ok(cosine_heatmap(&caption, &map)?)
    }

    /// Whether any cosine of any plan is below 0.
    fn any_negative(&self, compared: Compared) -> bool {
        let cosine = |record: &Record| match (record, compared) {
            (Record::Gradient { fidelity, .. }, Compared::SideBySide)
            | (Record::WholeGradient { fidelity, .. }, Compared::WholePasses) => fidelity.cosine,
            _ => None,
        };
        let records = self.study.runs.iter().flat_map(|run| &run.records);
        records.filter_map(cosine).any(|cosine| cosine < 0.0)
    }
}
