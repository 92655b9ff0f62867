//! What training comes to: loss and accuracy, and accuracy against memory.

use packlight_figure::{Candidate, Figure, Line, Panel, curves, tradeoff};

use super::{Source, by_seed};
use crate::Result;
use crate::frame::{distinct, only};
use crate::plan::{PlanRow, RunPoint, mean};
use crate::words::change;

impl Source<'_> {
    pub(super) fn curves(&self) -> Result<Option<Figure>> {
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

    pub(super) fn tradeoff(&self) -> Result<Option<Figure>> {
        let done: Vec<&PlanRow> = self.plans.iter().filter(|p| !p.runs.is_empty()).collect();
        let everywhere = |of: fn(&RunPoint) -> Option<f64>| {
            done.iter().all(|p| p.runs.iter().all(|r| of(r).is_some()))
        };
        let (label, peak): (_, fn(&RunPoint) -> Option<f64>) = if everywhere(|r| r.peak_allocated) {
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
}
