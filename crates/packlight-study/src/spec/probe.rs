//! When a run is looked at closely.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// At which steps exact and compressed gradients are recorded side by side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeSpec {
    /// Every so many steps, the first included.
    #[serde(default)]
    pub every: Option<u64>,
    /// At just these steps, counted from 0.
    #[serde(default)]
    pub steps: Option<Vec<u64>>,
    /// Whether two whole backward passes are compared too, parameter by parameter.
    #[serde(default)]
    pub whole: bool,
    /// How often the compressed one of these passes is drawn, to tell bias from variance.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub draws: u64,
}

impl Default for ProbeSpec {
    fn default() -> Self {
        Self { every: None, steps: None, whole: false, draws: once() }
    }
}

fn once() -> u64 {
    1
}

fn is_once(draws: &u64) -> bool {
    *draws == 1
}

impl ProbeSpec {
    /// Whether `step` is probed.
    pub fn includes(&self, step: u64) -> bool {
        self.every.is_some_and(|every| step.is_multiple_of(every))
            || self.steps.as_ref().is_some_and(|steps| steps.contains(&step))
    }

    /// How many of the first `steps` steps are probed.
    pub(crate) fn count(&self, steps: u64) -> u64 {
        if let Some(every) = self.every {
            return steps.div_ceil(every);
        }
        let listed: BTreeSet<u64> = self.steps.iter().flatten().copied().collect();
        listed.range(..steps).count() as u64
    }

    /// The first step in `range` that is not probed: the one at which the ledger is kept, since
    /// probing takes memory of its own.
    pub(crate) fn first_outside(&self, mut range: std::ops::Range<u64>) -> Option<u64> {
        range.find(|&step| !self.includes(step))
    }

    /// What is wrong with the key `.0`, if anything.
    pub(super) fn fault(&self) -> Option<(&'static str, String)> {
        match (self.every, &self.steps) {
            (Some(_), Some(_)) => {
                Some(("every", "given together with `steps`; keep one of the two".into()))
            }
            (Some(every @ 0..=1), _) => Some((
                "every",
                format!(
                    "{every} given, expected at least 2: a step that is probed cannot show what \
                     training takes in memory and time"
                ),
            )),
            _ if self.draws == 0 => Some(("draws", "0 given, expected at least 1".into())),
            _ if self.draws > 1 && !self.whole => {
                Some(("draws", "given without `whole = true`, whose passes it repeats".into()))
            }
            (None, None) if self.whole => {
                Some(("whole", "given without `every` or `steps`, which say when".into()))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_includes_the_first_step() {
        let probe = ProbeSpec { every: Some(10), ..ProbeSpec::default() };
        let probed: Vec<u64> = (0..25).filter(|&step| probe.includes(step)).collect();
        assert_eq!(probed, [0, 10, 20]);
        assert_eq!(probe.first_outside(10..20), Some(11));
        assert_eq!(probe.first_outside(10..11), None);
    }

    #[test]
    fn as_many_are_counted_as_are_included() {
        let every = ProbeSpec { every: Some(10), ..ProbeSpec::default() };
        let listed = ProbeSpec { steps: Some(vec![7, 0, 12, 7]), ..ProbeSpec::default() };
        for probe in [every, listed, ProbeSpec::default()] {
            for steps in 0..25 {
                let included = (0..steps).filter(|&step| probe.includes(step)).count();
                assert_eq!(probe.count(steps), included as u64, "{probe:?}, {steps} steps");
            }
        }
    }

    #[test]
    fn none_by_default() {
        let probe = ProbeSpec::default();
        assert!(!(0..100).any(|step| probe.includes(step)));
        assert_eq!(probe.fault(), None);
    }

    #[test]
    fn contradictions_are_named() {
        let both = ProbeSpec { every: Some(5), steps: Some(vec![1]), ..ProbeSpec::default() };
        assert_eq!(both.fault().unwrap().0, "every");
        let always = ProbeSpec { every: Some(1), ..ProbeSpec::default() };
        assert!(always.fault().unwrap().1.contains("at least 2"));
        let when = ProbeSpec { whole: true, ..ProbeSpec::default() };
        assert_eq!(when.fault().unwrap().0, "whole");
        let draws = ProbeSpec { every: Some(5), draws: 3, ..ProbeSpec::default() };
        assert_eq!(draws.fault().unwrap().0, "draws");
    }
}
