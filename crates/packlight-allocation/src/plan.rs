//! Allocations as plans, and plans as allocations.

use packlight_spec::{MemoryStrategy, PlanSpec, Selector};

use crate::measured::{EXACT, LayerChoices};
use crate::{Allocation, Error, Measured, Result};

impl Measured {
    /// The plan that gives each layer its codec: `layer1.0.conv1=q2,...`, or `none` if all are exact.
    ///
    /// Exact layers have no rule, unless that of another layer would select them, which it does if
    /// its name is also that of a kind.
    pub fn plan(&self, allocation: &Allocation) -> String {
        let layers = || self.layers().iter().map(|layer| &layer.facts).zip(&allocation.codecs);
        let names: Vec<Selector> = layers()
            .filter(|(_, codec)| *codec != EXACT)
            .map(|(facts, _)| Selector::from(facts.layer.as_str()))
            .collect();
        let rules: Vec<String> = layers()
            .filter(|(facts, codec)| {
                let selected = |name: &Selector| name.matches(&facts.layer, facts.kind).is_some();
                *codec != EXACT || names.iter().any(selected)
            })
            .map(|(facts, codec)| format!("{}={codec}", facts.layer))
            .collect();
        match rules.is_empty() {
            true => EXACT.to_owned(),
            false => rules.join(","),
        }
    }
    /// The codecs that a plan gives the layers, with what they keep and the sum of their errors.
    ///
    /// # Errors
    /// Returns an error if the plan does more than pack, or gives a layer a codec that was not measured
    /// there.
    pub fn of_plan(&self, plan: &PlanSpec) -> Result<Allocation> {
        if plan.last.is_some() || plan.strategy != MemoryStrategy::default() {
            return Err(Error::MoreThanPacked);
        }
        let choice = |layer: &LayerChoices| {
            let facts = &layer.facts;
            let selecting = plan.rules.iter().filter_map(|rule| {
                Some((rule.selector.matches(&facts.layer, facts.kind)?, &rule.codec))
            });
            // Of equally specific rules the last one counts.
            let codec = selecting.max_by_key(|rule| rule.0).map_or(EXACT, |rule| rule.1);
            layer.position(codec).ok_or_else(|| Error::NotMeasured {
                layer: facts.layer.clone(),
                codec: codec.to_owned(),
            })
        };
        let chosen: Vec<usize> = self.layers().iter().map(choice).collect::<Result<_>>()?;
        let error = self.chosen(&chosen).map(|choice| choice.error.mean).sum();
        Ok(self.allocation(&chosen, error, 0.0))
    }
}
