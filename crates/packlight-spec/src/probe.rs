//! When a run records exact and compressed gradients.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{Fault, SensitivitySpec};

/// The steps at which a run records exact and compressed gradients side by side: a study's
/// `[probe]` table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeSpec {
    /// Probe every so many steps, and the second one: at the first, some codecs still calibrate.
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

/// The first step at which a codec is the one that trains: in the step before, codecs that calibrate
/// or remember have nothing to go by yet, and keep more than they will.
const SETTLED: u64 = 1;

/// The first step, of `total`, that shows what training keeps.
fn first_settled(total: u64) -> u64 {
    SETTLED.min(total.saturating_sub(1))
}

impl ProbeSpec {
    /// Whether `step` is probed in a run of `total` steps.
    pub fn includes(&self, step: u64, total: u64) -> bool {
        let first = first_settled(total);
        self.every.is_some_and(|every| step == first || step > first && step.is_multiple_of(every))
            || self.steps.as_ref().is_some_and(|steps| steps.contains(&step))
    }

    /// The number of probed steps in a run of `total` steps.
    pub fn count(&self, total: u64) -> u64 {
        match self.every {
            // The first one, and the multiples of `every`, which is at least 2, after it.
            Some(every) => u64::from(total > 0) + total.saturating_sub(1) / every,
            None => {
                let listed: BTreeSet<u64> = self.steps.iter().flatten().copied().collect();
                listed.range(..total).count() as u64
            }
        }
    }

    /// The first step in `range` at which the ledger shows what training keeps, in a run of `total`
    /// steps: one that is not probed, because the probe itself uses memory.
    pub fn first_for_ledger(&self, range: std::ops::Range<u64>, total: u64) -> Option<u64> {
        let first = range.start.max(first_settled(total));
        (first..range.end).find(|&step| !self.includes(step, total))
    }

    /// What the probe or the ledger misses in a run of `total` steps, if that was hardly meant.
    pub fn warning(&self, total: u64) -> Option<String> {
        let behind = self.steps.iter().flatten().find(|step| **step >= total);
        if let Some(behind) = behind {
            let last = total.saturating_sub(1);
            return Some(format!(
                "steps: {behind} is behind the last step, {last}, and is not probed"
            ));
        }
        (total > 1 && self.first_for_ledger(0..total, total).is_none()).then(|| {
            "steps: no step is left that is not probed, so none shows how much memory training takes"
                .to_owned()
        })
    }

    /// Checks that the settings are consistent.
    ///
    /// # Errors
    /// Returns the first setting that is not.
    pub fn check(&self) -> Result<(), Fault> {
        Fault::unless_within("draws", self.draws, 1..=SensitivitySpec::MOST)?;
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
    fn every_begins_at_the_second_step() {
        let probe = ProbeSpec { every: Some(10), ..ProbeSpec::default() };
        let probed: Vec<u64> = (0..25).filter(|&step| probe.includes(step, 25)).collect();
        assert_eq!(probed, [1, 10, 20]);
        assert!(probe.includes(0, 1), "where there is only one step, it is that one");
        let listed = ProbeSpec { steps: Some(vec![0]), ..ProbeSpec::default() };
        assert!(listed.includes(0, 25) && !listed.includes(1, 25));
    }

    #[test]
    fn the_ledger_looks_where_the_probe_does_not_and_codecs_have_settled() {
        let probe = ProbeSpec { every: Some(10), ..ProbeSpec::default() };
        assert_eq!(probe.first_for_ledger(0..10, 25), Some(2));
        assert_eq!(probe.first_for_ledger(10..20, 25), Some(11));
        assert_eq!(probe.first_for_ledger(10..11, 25), None);
        let never = ProbeSpec::default();
        assert_eq!(never.first_for_ledger(0..5, 25), Some(1));
        assert_eq!(never.first_for_ledger(0..1, 25), None);
        assert_eq!(never.first_for_ledger(0..1, 1), Some(0));
    }

    #[test]
    fn as_many_are_counted_as_are_included() {
        let every = ProbeSpec { every: Some(10), ..ProbeSpec::default() };
        let often = ProbeSpec { every: Some(2), ..ProbeSpec::default() };
        let listed = ProbeSpec { steps: Some(vec![7, 0, 12, 7]), ..ProbeSpec::default() };
        for probe in [every, often, listed, ProbeSpec::default()] {
            for total in 0..25 {
                let included = (0..total).filter(|&step| probe.includes(step, total)).count();
                assert_eq!(probe.count(total), included as u64, "{probe:?}, {total} steps");
            }
        }
    }

    #[test]
    fn steps_that_show_nothing_are_named() {
        let of = |steps: &[u64]| ProbeSpec { steps: Some(steps.to_vec()), ..ProbeSpec::default() };
        let behind = "steps: 4 is behind the last step, 3, and is not probed";
        assert_eq!(of(&[1, 4]).warning(4).as_deref(), Some(behind));
        assert!(of(&[0, 1, 2, 3]).warning(4).unwrap().contains("no step is left"));
        assert!(of(&[1, 2, 3]).warning(4).unwrap().contains("no step is left"), "after the first");
        assert_eq!(of(&[0, 1, 3]).warning(4), None);
        let every = ProbeSpec { every: Some(2), ..ProbeSpec::default() };
        assert_eq!((every.warning(1), every.warning(9)), (None, None));
    }

    #[test]
    fn none_by_default() {
        let probe = ProbeSpec::default();
        assert!(!(0..100).any(|step| probe.includes(step, 100)));
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
        for draws in [0, 3, 10_001] {
            let draws = ProbeSpec { every: Some(5), draws, ..ProbeSpec::default() };
            assert_eq!(draws.check().unwrap_err().key, "draws");
        }
        let many = ProbeSpec { every: Some(5), draws: 10_001, whole: true, ..ProbeSpec::default() };
        let reason = many.check().unwrap_err().reason;
        assert_eq!(reason, "10001 given, expected 1 to 10000");
    }
}
