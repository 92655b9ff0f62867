//! How long a step with each plan takes, measured beside another plan's.

use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::layout::TIMINGS;
use crate::{Error, Result, atomic_file};

/// `timings.json` in a study's folder: the times of all plans that have been timed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    /// One for each plan; plans that differ only in their names, epochs or weights share one.
    pub plans: Vec<PlanTiming>,
}

/// The times of steps of one plan and of the baseline, taken by turns.
///
/// Both train on the same batch in the same process, a turn each, so what else the machine does
/// meanwhile slows both. The baseline is timed in the same way against a second copy of itself: how
/// far its ratios are from 1 is what this machine cannot tell from no difference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanTiming {
    /// The plan, as on a command line.
    pub plan: String,
    /// The baseline: `none`, or the study's first plan if none of its plans is exact.
    pub baseline: String,
    /// SHA-256 of what determines the steps of the plan in this study.
    pub study_hash: String,
    /// The processor's name.
    pub cpu: String,
    /// Threads used for computing.
    pub threads: u64,
    /// The rounds, in the order in which they were timed.
    pub rounds: Vec<Round>,
}

/// The seconds of one step of each of the two plans, from the forward pass to the update.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// Of the baseline.
    pub baseline: f64,
    /// Of the plan itself.
    pub own: f64,
}

impl Timings {
    /// Reads the timings of the study in `folder`; there are none if nothing was timed yet.
    ///
    /// # Errors
    /// Returns an error, which names the file, if it cannot be read or does not hold timings.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(TIMINGS);
        match std::fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map_err(|e| Error::json(&path, e)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(Error::io(&path, e)),
        }
    }

    /// Writes them to the study in `folder`.
    ///
    /// # Errors
    /// Returns an error, which names the file, if it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(TIMINGS);
        let json = serde_json::to_vec_pretty(self).map_err(|e| Error::json(&path, e))?;
        atomic_file::write(&path, &json)
    }

    /// The timing of this plan, given as on a command line.
    pub fn of(&self, plan: &str) -> Option<&PlanTiming> {
        self.plans.iter().find(|timing| timing.plan == plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timings_are_read_as_they_were_written() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Timings::read(dir.path()).unwrap(), Timings::default());
        let timing = PlanTiming {
            plan: "pool2".into(),
            baseline: "none".into(),
            study_hash: "12ab".into(),
            cpu: "a processor".into(),
            threads: 2,
            rounds: vec![Round { baseline: 0.1, own: 0.3 }, Round { baseline: 0.2, own: 0.1 }],
        };
        let timings = Timings { plans: vec![timing] };
        timings.write(dir.path()).unwrap();
        assert_eq!(Timings::read(dir.path()).unwrap(), timings);
        assert_eq!(timings.of("pool2"), Some(&timings.plans[0]));
        assert_eq!(timings.of("none"), None);
    }

    #[test]
    fn what_is_no_timings_is_an_error_that_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(TIMINGS), "{\"plans\": 3}").unwrap();
        let error = Timings::read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("timings.json: "), "{error}");
    }
}
