//! When a run records exact and compressed gradients.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::Fault;

/// The steps at which a run records exact and compressed gradients side by side: a study's
/// `[probe]` table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeSpec {
    /// Probe every so many steps, the first included.
    #[serde(default)]
    pub every: Option<u64>,
    /// Probe exactly these steps, counted from 0.
    #[serde(default)]
    pub steps: Option<Vec<u64>>,
    /// Whether to compare two whole backward passes as well, parameter by parameter.
    #[serde(default)]
    pub whole: bool,
    /// How many times to repeat the compressed one of these passes, to tell bias from variance.
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

    /// The number of probed steps among the first `steps` steps.
    pub fn count(&self, steps: u64) -> u64 {
        if let Some(every) = self.every {
            return steps.div_ceil(every);
        }
        let listed: BTreeSet<u64> = self.steps.iter().flatten().copied().collect();
        listed.range(..steps).count() as u64
    }

    /// The first step in `range` that is not probed. The ledger is recorded at that step, because
    /// the probe itself uses memory.
    pub fn first_outside(&self, mut range: std::ops::Range<u64>) -> Option<u64> {
        range.find(|&step| !self.includes(step))
    }

    /// Checks that the settings are consistent.
    ///
    /// # Errors
    /// Returns the first setting that is not.
    pub fn check(&self) -> Result<(), Fault> {
        let (key, reason) = match (self.every, &self.steps) {
            (Some(_), Some(_)) => {
                ("every", "given together with `steps`; keep one of the two".into())
            }
            (Some(every @ 0..=1), _) => (
                "every",
                format!(
                    "{every} given, expected at least 2: a step that is probed cannot show how much \
                     memory and time training takes"
                ),
            ),
            _ if self.draws == 0 => ("draws", "0 given, expected at least 1".into()),
            _ if self.draws > 1 && !self.whole => {
                ("draws", "given without `whole = true`, whose passes it repeats".into())
            }
            (None, None) if self.whole => {
                ("whole", "given without `every` or `steps`, which say when".into())
            }
            _ => return Ok(()),
        };
        Err(Fault::new(key, reason))
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
        assert_eq!(probe.check(), Ok(()));
    }

    #[test]
    fn contradictions_are_named() {
        let both = ProbeSpec { every: Some(5), steps: Some(vec![1]), ..ProbeSpec::default() };
        assert_eq!(both.check().unwrap_err().key, "every");
        let always = ProbeSpec { every: Some(1), ..ProbeSpec::default() };
        assert!(always.check().unwrap_err().reason.contains("at least 2"));
        let when = ProbeSpec { whole: true, ..ProbeSpec::default() };
        assert_eq!(when.check().unwrap_err().key, "whole");
        let draws = ProbeSpec { every: Some(5), draws: 3, ..ProbeSpec::default() };
        assert_eq!(draws.check().unwrap_err().key, "draws");
    }
}
