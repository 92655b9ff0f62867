//! What changed, in sentences with numbers.

use packlight_figure::significant;

use super::Beside;
use super::layers::LayerChange;
use crate::format::{count, list, points};

/// So many plans or layers are named.
const NAMED: usize = 4;

impl Beside {
    /// All findings: of accuracies first, then of single layers, codec by codec.
    pub(super) fn findings(&self) -> Vec<String> {
        let mut findings: Vec<String> = self.accuracies().into_iter().collect();
        let mut codecs: Vec<&str> =
            self.layers.iter().map(|change| change.codec.as_str()).collect();
        codecs.dedup(); // changes are codec by codec
        findings.extend(codecs.into_iter().filter_map(|codec| self.codec(codec)));
        findings
    }

    fn accuracies(&self) -> Option<String> {
        let compared =
            || self.plans.iter().filter_map(|plan| Some((plan, plan.accuracy.as_ref()?)));
        let tested = compared().filter(|(_, accuracy)| accuracy.p.is_some()).count();
        if tested == 0 {
            return compared().next().map(|(_, first)| {
                format!("Whether any accuracy changed cannot be said: {}.", first.said())
            });
        }
        let mut changed: Vec<_> = compared().filter(|(_, accuracy)| accuracy.exceeds()).collect();
        changed.sort_by(|a, b| b.1.change.abs().total_cmp(&a.1.change.abs()));
        let said = |(plan, accuracy): &(&super::PlanChange, &super::Compared)| {
            let half = accuracy.change_half_interval.unwrap_or(f64::NAN);
            format!("{} {} ± {:.1} points", plan.plan, points(accuracy.change), 100.0 * half)
        };
        let named: Vec<String> = changed.iter().take(NAMED).map(said).collect();
        let of = count(tested as u64, "tested plan");
        Some(match (changed.len(), named.is_empty()) {
            (_, true) => format!("No change of accuracy exceeds the noise, of {of}."),
            (all, _) if all > NAMED => format!(
                "The accuracy of {all} of {of} changed by more than the noise, most that of {}.",
                list(&named)
            ),
            (all, _) => {
                format!(
                    "The accuracy of {all} of {of} changed by more than the noise: {}.",
                    list(&named)
                )
            }
        })
    }

    fn codec(&self, codec: &str) -> Option<String> {
        let all: Vec<&LayerChange> = self
            .layers
            .iter()
            .filter(|change| change.codec == codec && change.exceeds.is_some())
            .collect();
        let mut changed: Vec<(&str, f64)> = all
            .iter()
            .filter(|change| change.exceeds == Some(true))
            .filter_map(|change| Some((change.layer.as_str(), change.ratio?)))
            .collect();
        changed.sort_by(|a, b| b.1.ln().abs().total_cmp(&a.1.ln().abs()));
        let mut moved: Vec<(&str, [usize; 2])> = all
            .iter()
            .filter(|change| change.moved())
            .filter_map(|change| Some((change.layer.as_str(), change.ranks?)))
            .collect();
        moved.sort_by_key(|(_, [a, b])| std::cmp::Reverse(a.abs_diff(*b)));
        let most = |named: Vec<String>, of: usize| match of {
            0 => String::new(),
            of if of > NAMED => format!(", most {}", list(&named)),
            _ => format!(": {}", list(&named)),
        };
        let times = |(layer, ratio): &(&str, f64)| format!("{layer} {} times", significant(*ratio));
        let ranks = |(layer, [a, b]): &(&str, [usize; 2])| format!("{layer} from {a} to {b}");
        let errors = most(changed.iter().take(NAMED).map(times).collect(), changed.len());
        let places = most(moved.iter().take(NAMED).map(ranks).collect(), moved.len());
        (!all.is_empty()).then(|| {
            format!(
                "{codec}: the error changed by more than the noise at {} of {}{errors}. {} changed rank{places}.",
                if changed.is_empty() { "none".to_owned() } else { changed.len().to_string() },
                count(all.len() as u64, "layer"),
                match moved.len() {
                    0 => "None".to_owned(),
                    n => n.to_string(),
                },
            )
        })
    }
}
