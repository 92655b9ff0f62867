//! The figures of a report: from tables to the slices that the figures take.

use std::collections::HashMap;

use packlight_figure::{
    Candidate, Caption, Course, Figure, Heatmap, IndicatorColumn, KeptBytes, KeptColumn, Line,
    Panel, Quantiles, cosine_heatmap, cosine_multiples, curves, kept_bytes, learning_indicator,
    memory_timeline, tradeoff,
};
use packlight_record::LayerKind;
use polars::prelude::DataFrame;

use crate::Result;
use crate::finding::Finding;
use crate::frame::{describe, distinct, numbers, only, texts};
use crate::plan::{PlanRow, mean};
use crate::study::Study;
use crate::tables::{PARTS, Tables};
use crate::words::{bytes, change, count, list, thousandths};

/// All that a figure is drawn from.
pub(crate) struct Source<'a> {
    pub(crate) study: &'a Study,
    pub(crate) tables: &'a Tables,
    pub(crate) plans: &'a [PlanRow],
    pub(crate) findings: &'a [Finding; 3],
}

/// Every figure for which there are records, in the order of the page.
///
/// # Errors
/// If a figure cannot be drawn.
pub(crate) fn all(source: &Source<'_>) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    figures.extend(source.curves()?);
    figures.extend(source.tradeoff()?);
    figures.extend(source.timeline()?);
    figures.extend(source.kept()?);
    for plan in source.plans.iter().filter(|p| p.compresses()) {
        figures.push(source.heatmap(plan)?);
        figures.push(source.multiples(plan)?);
    }
    figures.extend(source.indicator()?);
    Ok(figures)
}

/// A plan's name as part of a file's name; plans that would collide get their number.
fn slug(source: &Source<'_>, name: &str) -> String {
    let plain = |name: &str| -> String {
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
    };
    let index = source.plans.iter().position(|p| p.plan.name == name).unwrap_or_default();
    let alike = source.plans.iter().filter(|p| plain(&p.plan.name) == plain(name)).count();
    if alike > 1 { format!("{}-{index}", plain(name)) } else { plain(name) }
}

impl Source<'_> {
    /// Model, data, seeds and epochs, as every subtitle has them.
    pub(crate) fn setting(&self) -> String {
        let Some(first) = self.study.runs.first().map(|r| &r.manifest) else {
            return String::new();
        };
        let seeds = self.plans.iter().map(|p| p.started).max().unwrap_or(0);
        let epochs = self.plans.iter().map(|p| p.planned_epochs).max().unwrap_or(0);
        format!(
            "{}; {}, {} training and {} test samples; {}, {}, batch {}",
            first.model,
            first.data,
            first.train_samples,
            first.test_samples,
            count(seeds, "seed"),
            count(epochs, "epoch"),
            first.batch,
        )
    }

    fn caption(&self, id: impl Into<String>, title: impl Into<String>) -> Caption {
        Caption::new(id, title).subtitle(self.setting())
    }

    /// The layers that the probe saw, in forward order.
    fn probed(&self) -> Result<Vec<String>> {
        let seen = texts(&self.tables.gradients, "layer")?;
        Ok(self.in_order(&seen))
    }

    /// Distinct names of `seen` in forward order; one that the model does not list comes last.
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

    fn curves(&self) -> Result<Option<Figure>> {
        let mut courses = Vec::new();
        for plan in self.plans {
            let epochs = only(&self.tables.epochs, "plan", &plan.plan.name)?;
            let x = distinct(&epochs, "epoch")?;
            let values = |column: &str| by_seed(&epochs, "epoch", &x, column);
            let all = [values("train_loss")?, values("test_loss")?, values("test_accuracy")?];
            let x: Vec<f64> = x.iter().map(|e| e + 1.0).collect();
            if !x.is_empty() {
                courses.push((plan.plan.name.as_str(), x, all));
            }
        }
        if courses.is_empty() {
            return Ok(None);
        }
        let losses = || courses.iter().flat_map(|c| c.2[..2].iter().flatten().flatten().copied());
        let low = losses().fold(f64::INFINITY, f64::min);
        let high = losses().fold(f64::NEG_INFINITY, f64::max);
        let mut loss = Panel::new("epoch", "loss: training (solid), test (dashed)");
        if low > 0.0 && high > 20.0 * low {
            loss = loss.log();
        }
        let mut accuracy = Panel::new("epoch", "test accuracy (fraction)").fraction();
        for (name, x, [train, test, right]) in &courses {
            loss = loss.line(Line::new(name, x, train));
            loss = loss.line(Line::new(name, x, test).dashed("test loss"));
            accuracy = accuracy.line(Line::new(name, x, right));
        }
        let caption = self.caption("loss-and-accuracy", &self.findings[1].headline);
        Ok(Some(curves(&caption, &[loss, accuracy])?))
    }

    fn tradeoff(&self) -> Result<Option<Figure>> {
        let done: Vec<&PlanRow> = self.plans.iter().filter(|p| !p.runs.is_empty()).collect();
        let everywhere = |of: fn(&crate::plan::RunPoint) -> Option<f64>| {
            done.iter().all(|p| p.runs.iter().all(|r| of(r).is_some()))
        };
        let (label, peak): (_, fn(&crate::plan::RunPoint) -> Option<f64>) =
            if everywhere(|r| r.peak_allocated) {
                ("peak of a training step, counting allocator", |r| r.peak_allocated)
            } else if everywhere(|r| r.peak_kept) {
                ("peak of kept bytes, ledger", |r| r.peak_kept)
            } else {
                return Ok(None);
            };
        if done.is_empty() {
            return Ok(None);
        }
        let points: Vec<(Vec<f64>, Vec<f64>)> = done
            .iter()
            .map(|p| {
                let accuracy = p.runs.iter().map(|r| r.accuracy).collect();
                (p.runs.iter().filter_map(peak).collect(), accuracy)
            })
            .collect();
        let candidates: Vec<Candidate<'_>> = done
            .iter()
            .zip(&points)
            .map(|(p, (peak, accuracy))| Candidate { name: &p.plan.name, peak, accuracy })
            .collect();
        let base = self.study.baseline().map(|b| b.name.as_str());
        let base = done.iter().zip(&points).find(|(p, _)| Some(p.plan.name.as_str()) == base);
        let title = match base {
            Some((base, (from, right))) => {
                let average = |v: &[f64]| mean(v.iter().copied()).unwrap_or(f64::NAN);
                let changes =
                    done.iter().zip(&points).filter(|(p, _)| p.plan.name != base.plan.name);
                let changes: Vec<String> = changes
                    .map(|(p, (peak, accuracy))| {
                        let points = (average(accuracy) - average(right)) * 100.0;
                        let points = format!("{points:+.1}").replace('-', "−");
                        let peak = change(average(peak), average(from), "less", "more");
                        format!("{} {peak}, {points} points", p.plan.name)
                    })
                    .collect();
                format!(
                    "Peak memory and accuracy against {}: {}",
                    base.plan.name,
                    changes.join("; ")
                )
            }
            None => "Accuracy against peak memory".to_string(),
        };
        Ok(Some(tradeoff(&self.caption("accuracy-and-memory", title), label, &candidates)?))
    }

    fn timeline(&self) -> Result<Option<Figure>> {
        let mut courses = Vec::new();
        for plan in self.plans {
            let mut events = only(&self.tables.timeline, "plan", &plan.plan.name)?;
            for column in ["seed", "step"] {
                let Some(first) = distinct(&events, column)?.first().copied() else { break };
                let all = numbers(&events, column)?;
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
        let title = format!("Most kept at once in a training step: {}", list(&peaks));
        let courses: Vec<Course<'_>> = courses
            .iter()
            .map(|(name, kept, live, turn, _)| Course { name, kept, live, backward: *turn })
            .collect();
        let caption = self.caption("memory-timeline", title);
        let subtitle = format!("{}; one step of the first seed (n = 1)", caption.subtitle);
        Ok(Some(memory_timeline(&caption.subtitle(subtitle), &stages, &courses)?))
    }

    /// Whether a part of the model holds a convolution or a linear layer.
    fn computes(&self, stage: &str) -> bool {
        self.tables.layers.iter().any(|(layer, kind)| {
            matches!(kind, LayerKind::Conv | LayerKind::Linear)
                && layer.split('.').next() == Some(stage)
        })
    }

    fn kept(&self) -> Result<Option<Figure>> {
        let layers = self.in_order(&texts(&self.tables.kept, "layer")?);
        if layers.is_empty() {
            return Ok(None);
        }
        let parts_seen = texts(&self.tables.kept, "part")?;
        let parts: Vec<&str> =
            PARTS.into_iter().filter(|p| parts_seen.iter().any(|s| s == p)).collect();
        let mut columns = Vec::new();
        for plan in self.plans {
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
        Ok(Some(kept_bytes(&self.caption("kept-bytes", title), &layers, &parts, &columns)?))
    }

    fn heatmap(&self, plan: &PlanRow) -> Result<Figure> {
        let gradients = only(&self.tables.gradients, "plan", &plan.plan.name)?;
        let layers = self.probed()?;
        let steps = distinct(&gradients, "step")?;
        let grid = |value: &str| -> Result<Vec<Vec<f64>>> {
            let means = describe(&gradients, &["layer", "step"], value)?;
            let places = texts(&means, "layer")?.into_iter().zip(numbers(&means, "step")?);
            let at: HashMap<(String, u64), f64> = places
                .map(|(layer, step)| (layer, step as u64))
                .zip(numbers(&means, "mean")?)
                .collect();
            let cell = |layer: &String, step: f64| {
                at.get(&(layer.clone(), step as u64)).copied().unwrap_or(f64::NAN)
            };
            Ok(layers.iter().map(|l| steps.iter().map(|s| cell(l, *s)).collect()).collect())
        };
        let (cosine, norm) = (grid("cosine")?, grid("exact_norm")?);
        let layers: Vec<&str> = layers.iter().map(String::as_str).collect();
        // All plans share one scale.
        let signed = numbers(&self.tables.gradients, "cosine")?.iter().any(|c| *c < 0.0);
        let map = Heatmap { layers: &layers, steps: &steps, cosine: &cosine, norm: &norm, signed };
        let title = match (plan.cosine(), plan.worst()) {
            (Some(mean), Some(worst)) => format!(
                "{}: mean cosine {} over the {} layers it compresses, lowest in {} ({})",
                plan.plan.name,
                thousandths(mean),
                plan.compressed().count(),
                worst.layer,
                thousandths(worst.cosine),
            ),
            _ => {
                format!("{}: the exact gradients were zero wherever it compresses", plan.plan.name)
            }
        };
        let id = format!("cosine-{}", slug(self, &plan.plan.name));
        Ok(cosine_heatmap(&self.caption(id, title), &map)?)
    }

    fn multiples(&self, plan: &PlanRow) -> Result<Figure> {
        let gradients = only(&self.tables.gradients, "plan", &plan.plan.name)?;
        let layers = self.probed()?;
        let steps = distinct(&gradients, "step")?;
        let mut cosine = Vec::new();
        for layer in &layers {
            cosine.push(by_seed(&only(&gradients, "layer", layer)?, "step", &steps, "cosine")?);
        }
        let compressed: Vec<&str> = plan.compressed().map(|l| l.layer.as_str()).collect();
        let at = |step: usize| {
            let rows = layers.iter().zip(&cosine).filter(|(l, _)| compressed.contains(&l.as_str()));
            mean(rows.flat_map(|(_, seeds)| seeds.iter().map(move |s| s[step])))
        };
        let last = steps.len() - 1;
        let title = match (at(0), at(last)) {
            (Some(from), Some(to)) if last > 0 => format!(
                "{}: over training the mean cosine goes from {} at step {} to {} at step {}",
                plan.plan.name,
                thousandths(from),
                steps[0],
                thousandths(to),
                steps[last],
            ),
            _ => format!("{}: cosine of each layer's gradient", plan.plan.name),
        };
        let layers: Vec<&str> = layers.iter().map(String::as_str).collect();
        let id = format!("cosine-by-layer-{}", slug(self, &plan.plan.name));
        Ok(cosine_multiples(&self.caption(id, title), &layers, &steps, &cosine)?)
    }

    fn indicator(&self) -> Result<Option<Figure>> {
        let layers = self.probed()?;
        let mut columns = Vec::new();
        let (mut said, mut below) = (Vec::new(), Vec::new());
        for plan in self.plans.iter().filter(|p| p.compresses()) {
            let gradients = only(&self.tables.gradients, "plan", &plan.plan.name)?;
            let mut of: HashMap<String, Vec<f64>> = HashMap::new();
            for value in ["li_p05", "li_p25", "li_median", "li_p75", "li_p95", "li_nonpositive"] {
                let means = describe(&gradients, &["layer"], value)?;
                for (layer, mean) in
                    texts(&means, "layer")?.into_iter().zip(numbers(&means, "mean")?)
                {
                    of.entry(layer).or_default().push(mean);
                }
            }
            let quantiles = |layer: &String| match of.get(layer).map(Vec::as_slice) {
                Some(&[p05, p25, median, p75, p95, nonpositive]) if median.is_finite() => {
                    Some(Quantiles { p05, p25, median, p75, p95, nonpositive })
                }
                _ => None,
            };
            let column: Vec<Option<Quantiles>> = layers.iter().map(quantiles).collect();
            if column.iter().all(Option::is_none) {
                continue;
            }
            let negative = column.iter().flatten().filter(|q| q.nonpositive > 0.0).count();
            let lowest = plan.compressed().filter(|l| l.indicator.is_finite());
            if let Some(lowest) = lowest.min_by(|a, b| a.indicator.total_cmp(&b.indicator)) {
                said.push(format!(
                    "{} {} ({})",
                    plan.plan.name,
                    thousandths(lowest.indicator),
                    lowest.layer
                ));
                below.push(negative.to_string());
            }
            columns.push((plan.plan.name.as_str(), column));
        }
        if columns.is_empty() {
            return Ok(None);
        }
        let layers: Vec<&str> = layers.iter().map(String::as_str).collect();
        let columns: Vec<IndicatorColumn<'_>> =
            columns.iter().map(|(name, layers)| IndicatorColumn { name, layers }).collect();
        let below = if below.iter().all(|layers| layers == "0") {
            "no sample at or below 0".to_string()
        } else {
            format!("samples at or below 0 in {} layers", list(&below))
        };
        let title = format!("Lowest median LI: {}; {below}", list(&said));
        let caption = self.caption("learning-indicator", title);
        Ok(Some(learning_indicator(&caption, &layers, &columns)?))
    }
}

/// For each seed, in ascending order, its value at each of `x`; NaN where it has none.
fn by_seed(frame: &DataFrame, at: &str, x: &[f64], value: &str) -> Result<Vec<Vec<f64>>> {
    let (seeds, places) = (numbers(frame, "seed")?, numbers(frame, at)?);
    let values = numbers(frame, value)?;
    let find = |seed: f64, x: f64| {
        let row = (0..values.len()).find(|&i| seeds[i] == seed && places[i] == x);
        row.map_or(f64::NAN, |i| values[i])
    };
    let all = distinct(frame, "seed")?;
    Ok(all.iter().map(|seed| x.iter().map(|x| find(*seed, *x)).collect()).collect())
}
