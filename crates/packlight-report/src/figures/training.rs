//! Loss and accuracy over training.

use packlight_figure::{Figure, Line, Panel, curves};

use super::{Source, by_seed};
use crate::Result;
use crate::finding::accuracies;
use crate::frame::{distinct, only};
use crate::plan::PlanRow;

impl Source<'_> {
    pub(super) fn curves(&self, number: &str, plans: &[&PlanRow]) -> Result<Option<Figure>> {
        let mut courses = Vec::new();
        for plan in plans {
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
            loss = loss.line(Line::new(name, x, train).look(self.look(name)));
            loss = loss.line(Line::new(name, x, test).dashed("test loss"));
            accuracy = accuracy.line(Line::new(name, x, right).look(self.look(name)));
        }
        let base = self.base().and_then(|base| Some((base, base.accuracy?)));
        let title = match base {
            Some((base, target)) => {
                let others: Vec<&PlanRow> =
                    plans.iter().filter(|p| p.plan.name != base.plan.name).copied().collect();
                accuracies(base, target, &others)
            }
            None => "Loss and test accuracy; no run of the exact plan has finished".to_string(),
        };
        let caption = self.caption(format!("loss-and-accuracy{number}"), title);
        Ok(Some(curves(&caption, &[loss, accuracy])?))
    }
}
