//! The bytes that a step keeps: over time, and layer by layer.

use packlight_figure::{
    Figure, KeptBytes, KeptColumn, MemoryTimeline, kept_bytes, memory_timeline,
};
use packlight_record::LayerKind;

use super::Source;
use crate::Result;
use crate::format::{bytes, change, list};
use crate::frame::{describe, numbers, only, texts, whole};
use crate::plan::PlanRow;
use crate::tables::PARTS;

impl Source<'_> {
    pub(super) fn timeline(&self, number: &str, plans: &[&PlanRow]) -> Result<Option<Figure>> {
        let mut courses = Vec::new();
        for plan in plans {
            let mut events = only(&self.tables.timeline, "plan", &plan.plan.name)?;
            for column in ["seed", "step"] {
                let all = whole(&events, column)?;
                let Some(first) = all.iter().copied().min() else { break };
                events = events.filter(&all.iter().map(|v| *v == first).collect())?;
            }
            if events.height() == 0 {
                continue;
            }
            let mut live = numbers(&events, "live")?;
            if live.iter().any(|v| v.is_nan()) {
                live.clear();
            }
            let backward: Vec<bool> =
                events.column("backward")?.bool()?.iter().map(|b| b.unwrap_or(false)).collect();
            let turn = backward.iter().position(|b| *b).unwrap_or(backward.len());
            let layers = texts(&events, "layer")?;
            courses.push((&plan.plan.name, numbers(&events, "kept")?, live, turn, layers));
        }
        let Some((.., turn, layers)) = courses.first() else {
            return Ok(None);
        };
        let mut stages: Vec<(usize, &str)> = Vec::new();
        for (event, layer) in layers.iter().enumerate().take(*turn) {
            let stage = layer.split('.').next().unwrap_or_default();
            if self.computes(stage) && stages.iter().all(|(_, s)| *s != stage) {
                stages.push((event, stage));
            }
        }
        let peaks: Vec<String> = courses
            .iter()
            .map(|(name, kept, ..)| {
                format!("{name} {}", bytes(kept.iter().copied().reduce(f64::max)))
            })
            .collect();
        let title = format!("Peak of the bytes kept in a training step: {}", list(&peaks));
        let courses: Vec<MemoryTimeline<'_>> = courses
            .iter()
            .map(|(name, kept, live, turn, _)| {
                let look = self.look(name);
                MemoryTimeline { name, look, kept, live, backward: *turn }
            })
            .collect();
        let caption = self.caption(format!("memory-timeline{number}"), title);
        let stateful = plans.iter().any(|plan| plan.codec_state.is_some_and(|bytes| bytes > 0.0));
        let without = if stateful { ", without the state that codecs carry over" } else { "" };
        let subtitle = format!("{}; one step of the first seed (n = 1){without}", caption.subtitle);
        Ok(Some(memory_timeline(&caption.subtitle(subtitle), &stages, &courses)?))
    }

    /// Whether a stage of the model has a convolution or a linear layer.
    fn computes(&self, stage: &str) -> bool {
        self.tables.layers.iter().any(|(layer, kind)| {
            matches!(kind, LayerKind::Conv | LayerKind::Linear)
                && layer.split('.').next() == Some(stage)
        })
    }

    pub(super) fn kept(&self, number: &str, plans: &[&PlanRow]) -> Result<Option<Figure>> {
        let mut seen = Vec::new();
        for plan in plans {
            seen.extend(texts(&only(&self.tables.kept, "plan", &plan.plan.name)?, "layer")?);
        }
        let layers = self.in_order(&seen);
        if layers.is_empty() {
            return Ok(None);
        }
        let parts_seen = texts(&self.tables.kept, "part")?;
        let parts: Vec<&str> =
            PARTS.into_iter().filter(|p| parts_seen.iter().any(|s| s == p)).collect();
        let mut columns = Vec::new();
        for plan in plans {
            let kept = only(&self.tables.kept, "plan", &plan.plan.name)?;
            if kept.height() == 0 {
                continue;
            }
            let predicted = describe(&kept, &["layer", "part"], "kept")?;
            let counted = numbers(&describe(&kept, &["layer", "part"], "counted")?, "mean")?;
            let names = texts(&predicted, "layer")?.into_iter().zip(texts(&predicted, "part")?);
            let entries = names
                .zip(numbers(&predicted, "mean")?.into_iter().zip(counted))
                .filter_map(|((layer, part), (predicted, counted))| {
                    let layer = layers.iter().position(|l| *l == layer)?;
                    let part = parts.iter().position(|p| *p == part)?;
                    Some(KeptBytes { layer, part, predicted, counted })
                })
                .collect::<Vec<_>>();
            columns.push((plan.plan.name.as_str(), entries));
        }
        let base = self.study.baseline().map(|b| b.name.as_str());
        let total = |name: Option<&str>| {
            self.plans.iter().find(|p| Some(p.plan.name.as_str()) == name).and_then(|p| p.kept)
        };
        let title = match total(base) {
            Some(from) => {
                let others = columns.iter().map(|c| c.0).filter(|name| Some(*name) != base);
                let changes: Vec<String> = others
                    .filter_map(|name| Some((name, total(Some(name))?)))
                    .map(|(name, to)| format!("{name} {}", change(to, from, "less", "more")))
                    .collect();
                format!(
                    "Kept for the backward pass against {} of {}: {}",
                    bytes(Some(from)),
                    base.unwrap_or_default(),
                    list(&changes)
                )
            }
            None => "Bytes kept for the backward pass, layer by layer".to_string(),
        };
        let layers: Vec<&str> = layers.iter().map(String::as_str).collect();
        let columns: Vec<KeptColumn<'_>> =
            columns.iter().map(|(name, kept)| KeptColumn { name, kept }).collect();
        Ok(Some(kept_bytes(
            &self.caption(format!("kept-bytes{number}"), title),
            &layers,
            &parts,
            &columns,
        )?))
    }
}
