//! The learning rate over the course of training.

use serde::{Deserialize, Serialize};

use crate::Fault;

/// The factor on the learning rate, from the first step to the last: a study's `[schedule]` table.
///
/// All positions are fractions of the whole training, so a longer training stretches the same schedule.
/// Every schedule may begin with a linear warm-up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
pub enum Schedule {
    /// Constant after the warm-up.
    Constant {
        /// The fraction of the training over which the rate rises from 0.
        #[serde(default)]
        warmup: f64,
    },
    /// Multiplied by `factor` at each milestone.
    Step {
        /// The fraction of the training over which the rate rises from 0.
        #[serde(default)]
        warmup: f64,
        /// Fractions of the training, each in (0, 1).
        milestones: Vec<f64>,
        /// The factor at each.
        #[serde(default = "tenth")]
        factor: f64,
    },
    /// Half a cosine from the full rate down to 0 (Loshchilov and Hutter, ICLR 2017, without
    /// restarts).
    Cosine {
        /// The fraction of the training over which the rate rises from 0.
        #[serde(default)]
        warmup: f64,
    },
}

fn tenth() -> f64 {
    0.1
}

impl Schedule {
    /// The factor on the base learning rate at `step`, counted from 0, of `total` steps.
    ///
    /// The n-th of N warm-up steps has n/N of the full rate, so no step has a rate of 0.
    pub fn factor(&self, step: usize, total: usize) -> f64 {
        let total = total as f64;
        let warmup_steps = (self.warmup() * total).round();
        let step = step as f64;
        if step < warmup_steps {
            return (step + 1.0) / warmup_steps;
        }
        match self {
            Schedule::Constant { .. } => 1.0,
            Schedule::Step { milestones, factor, .. } => {
                let passed = milestones.iter().filter(|&&at| step >= (at * total).round()).count();
                factor.powi(passed as i32)
            }
            Schedule::Cosine { .. } => {
                let done = (step - warmup_steps) / (total - warmup_steps).max(1.0);
                0.5 * (1.0 + (std::f64::consts::PI * done.min(1.0)).cos())
            }
        }
    }

    /// Checks that all fractions are in their ranges.
    ///
    /// # Errors
    /// Returns the first setting that is not.
    pub fn check(&self) -> Result<(), Fault> {
        let fault = |key, value, expected| {
            Err(Fault::new(key, format!("{value} given, expected {expected}")))
        };
        if !(0.0..1.0).contains(&self.warmup()) {
            let expected = "a fraction of the training, 0 <= warmup < 1";
            return fault("warmup", self.warmup(), expected);
        }
        if let Schedule::Step { milestones, factor, .. } = self {
            if let Some(&at) = milestones.iter().find(|&&at| !(at > 0.0 && at < 1.0)) {
                return fault("milestones", at, "fractions of the training, between 0 and 1");
            }
            if !(*factor > 0.0 && factor.is_finite()) {
                return fault("factor", *factor, "a positive number, usually 0.1");
            }
        }
        Ok(())
    }

    fn warmup(&self) -> f64 {
        match *self {
            Schedule::Constant { warmup }
            | Schedule::Step { warmup, .. }
            | Schedule::Cosine { warmup } => warmup,
        }
    }
}

impl Default for Schedule {
    fn default() -> Self {
        Schedule::Constant { warmup: 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factors(schedule: &Schedule, total: usize) -> Vec<f64> {
        (0..total).map(|step| (schedule.factor(step, total) * 1e6).round() / 1e6).collect()
    }

    #[test]
    fn constant_after_a_warm_up() {
        let found = factors(&Schedule::Constant { warmup: 0.5 }, 8);
        assert_eq!(found, [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0]);
        assert_eq!(factors(&Schedule::default(), 2), [1.0, 1.0]);
    }

    #[test]
    fn steps_at_milestones() {
        let schedule = Schedule::Step { warmup: 0.0, milestones: vec![0.5, 0.75], factor: 0.1 };
        assert_eq!(factors(&schedule, 8), [1.0, 1.0, 1.0, 1.0, 0.1, 0.1, 0.01, 0.01]);
    }

    #[test]
    fn cosine_falls_from_one_towards_zero() {
        let found = factors(&Schedule::Cosine { warmup: 0.2 }, 10);
        assert_eq!(found[..3], [0.5, 1.0, 1.0]);
        assert_eq!(found[6], 0.5);
        assert!(found[2..].is_sorted_by(|a, b| a > b) && found[9] > 0.0);
    }

    #[test]
    fn nonsense_is_named() {
        for (schedule, key) in [
            (Schedule::Cosine { warmup: 1.0 }, "warmup"),
            (Schedule::Cosine { warmup: f64::NAN }, "warmup"),
            (Schedule::Step { warmup: 0.0, milestones: vec![30.0], factor: 0.1 }, "milestones"),
            (Schedule::Step { warmup: 0.0, milestones: vec![], factor: -1.0 }, "factor"),
        ] {
            assert_eq!(schedule.check().unwrap_err().key, key);
        }
    }

    #[test]
    fn a_study_writes_it_as_a_table() {
        let schedule: Schedule = toml::from_str("name = 'cosine'\nwarmup = 0.05").unwrap();
        assert_eq!(schedule, Schedule::Cosine { warmup: 0.05 });
        assert!(toml::from_str::<Schedule>("name = 'cosine'\nwarm = 0.05").is_err());
    }
}
