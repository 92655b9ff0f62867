//! How close compressed gradients and activations are to the exact ones, over training and over
//! samples.

use packlight_figure::{
    Compared, Figure, IndicatorColumn, Quantiles, cosine_multiples, learning_indicator,
};

use super::probes::Probes;
use super::{Source, slug};
use crate::Result;
use crate::format::{self, list, thousandths};
use crate::plan::{PlanRow, mean};

impl Source<'_> {
    /// The layers that a plan changes, one line each.
    pub(super) fn multiples(&self, plan: &PlanRow) -> Result<Figure> {
        let probes = Probes::of(self.study, &plan.plan.name, Compared::SideBySide);
        let changed: Vec<String> = plan.compressed().map(|row| row.layer.clone()).collect();
        let layers = self.in_order(&changed);
        let (steps, cosine) = (probes.steps(), probes.cosines(&layers));
        let at = |step: usize| mean(cosine.iter().flatten().map(|seed| seed[step]));
        let last = steps.len() - 1;
        let title = match (at(0), at(last)) {
            (Some(from), Some(to)) if last > 0 => format!(
                "{}: the mean cosine goes from {} at step {} to {} at step {}",
                plan.plan.name,
                format::cosine(from),
                steps[0],
                format::cosine(to),
                steps[last],
            ),
            _ => format!("{}: cosine of each layer's gradient", plan.plan.name),
        };
        let layers: Vec<&str> = layers.iter().map(String::as_str).collect();
        let id = format!("cosine-by-layer-{}", slug(self, &plan.plan.name));
        Ok(cosine_multiples(&self.caption(id, title), &layers, &steps, &cosine)?)
    }

    pub(super) fn indicator(&self, number: &str, plans: &[&PlanRow]) -> Result<Option<Figure>> {
        let layers = self.probed(plans);
        let mut columns = Vec::new();
        let (mut lowest, mut below) = (Vec::new(), Vec::new());
        for plan in plans {
            let quantiles = |layer: &String| {
                let row = plan.layers.iter().find(|row| row.layer == *layer)?;
                let [p05, p25, p75, p95] = row.quantiles;
                let (median, nonpositive) = (row.indicator, row.nonpositive);
                let quantiles = Quantiles { p05, p25, median, p75, p95, nonpositive };
                median.is_finite().then_some(quantiles)
            };
            let column: Vec<Option<Quantiles>> = layers.iter().map(quantiles).collect();
            if column.iter().all(Option::is_none) {
                continue;
            }
            let negative = column.iter().flatten().filter(|q| q.nonpositive > 0.0).count();
            if negative > 0 {
                below.push(format!(
                    "{} ({})",
                    plan.plan.name,
                    format::count(negative as u64, "layer")
                ));
            }
            let layers = plan.compressed().filter(|l| l.indicator.is_finite());
            lowest.extend(layers.map(|l| (l.indicator, &plan.plan.name, &l.layer)));
            columns.push((plan.plan.name.as_str(), column));
        }
        if columns.is_empty() {
            return Ok(None);
        }
        let layers: Vec<&str> = layers.iter().map(String::as_str).collect();
        let columns: Vec<IndicatorColumn<'_>> =
            columns.iter().map(|(name, layers)| IndicatorColumn { name, layers }).collect();
        let lowest = lowest.into_iter().min_by(|a, b| a.0.total_cmp(&b.0));
        let lowest = lowest.map_or_else(String::new, |(indicator, plan, layer)| {
            format!("Lowest median LI {} ({plan}, {layer}); ", thousandths(indicator))
        });
        let below = match below.is_empty() {
            true => "no sample at or below 0".to_string(),
            false => format!("samples at or below 0 with {}", list(&below)),
        };
        let title = format!("{lowest}{below}");
        let caption = self.caption(format!("learning-indicator{number}"), title);
        Ok(Some(learning_indicator(&caption, &layers, &columns)?))
    }
}
