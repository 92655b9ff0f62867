//! What each layer gets in the course of an adaptive plan's training.

use packlight_figure::{Chosen, Figure, Strip, allocation_strips, binary};
use packlight_record::AllocatedLayer;

use super::{Source, slug};
use crate::Result;
use crate::moves::{Period, first_adaptive, periods};
use crate::plan::PlanRow;

impl Source<'_> {
    /// The first, a middle and the last allocation of a plan's first run, along the network; `None` if the
    /// plan is not adaptive.
    pub(super) fn moves(&self, plan: &PlanRow) -> Result<Option<Figure>> {
        let name = plan.plan.name.as_str();
        let Some(run) = first_adaptive(self.study, name) else { return Ok(None) };
        let all = periods(run);
        let Some(last) = all.len().checked_sub(1) else { return Ok(None) };
        let mut places = vec![0, last / 2, last];
        places.dedup();
        let mut codecs: Vec<&str> = Vec::new();
        for layer in all.iter().flat_map(|period| period.layers) {
            if layer.codec != "none" && !codecs.contains(&layer.codec.as_str()) {
                codecs.push(&layer.codec);
            }
        }
        codecs.sort_unstable();
        let shown: Vec<&Period<'_>> = places.iter().map(|&place| &all[place]).collect();
        let heading = |period: &&Period<'_>| {
            format!(
                "from step {}: keeps {} at most, predicted error {}",
                period.step,
                binary(period.kept as f64),
                period.error_in_words()
            )
        };
        let headings: Vec<String> = shown.iter().map(heading).collect();
        let chosen = |layer: &AllocatedLayer| Chosen {
            codec: codecs.iter().position(|codec| *codec == layer.codec),
            kept: layer.kept_bytes as f64,
            error: layer.error.max(0.0).sqrt(),
        };
        let chosen: Vec<Vec<Chosen>> =
            shown.iter().map(|period| period.layers.iter().map(chosen).collect()).collect();
        let strips: Vec<Strip<'_>> = headings
            .iter()
            .zip(&chosen)
            .map(|(heading, chosen)| Strip { heading, chosen })
            .collect();
        let layers: Vec<(&str, f64)> = (all[0].layers.iter())
            .map(|layer| (layer.layer.as_str(), layer.raw_bytes as f64))
            .collect();
        let changed = all[last].changes_since(&all[0]).len();
        let title = format!(
            "The codec that {name} gives each layer: {changed} of {} have another one at the end",
            layers.len()
        );
        let id = format!("allocations-{}", slug(self, name));
        let caption = self.caption(id, title);
        let subtitle = format!("{}; seed {} (n = 1)", caption.subtitle, run.manifest.seed);
        Ok(Some(allocation_strips(&caption.subtitle(subtitle), "step", &layers, &codecs, &strips)?))
    }
}
