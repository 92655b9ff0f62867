//! An allocation as the text of a plan.

use packlight_spec::Selector;

use crate::measured::EXACT;
use crate::{Allocation, Measured};

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
}
