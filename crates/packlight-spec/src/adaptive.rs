//! Plans that measure single layers during training and allocate codecs anew.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::sensitivity::SensitivitySpec;
use crate::{Budget, Fault};

/// Batches of a measurement, and draws, where neither the plan nor the study says how many.
const FEW: u64 = 2;
/// The most steps or epochs between two allocations.
const MOST: u64 = 1_000_000_000;

/// A plan of which a study says only a budget: during training, what each codec does at each layer alone
/// is measured now and then, and each layer is given a codec so that the gradient is disturbed least.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdaptiveSpec {
    /// How often. The first allocation is before the first step.
    pub every: Every,
    /// The most bytes that are kept in any step, those of measurements included.
    pub budget: Budget,
    /// The codecs to choose from; by default those of the study's `[sensitivity]`.
    pub codecs: Option<Vec<String>>,
    /// How many batches each codec is tried on; by default as many as in `[sensitivity]`, or 2.
    pub batches: Option<u64>,
    /// How many times a codec packs each batch; by default as many as in `[sensitivity]`, or 2.
    pub draws: Option<u64>,
}

/// So many steps or epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Every {
    /// Steps.
    Steps(u64),
    /// Epochs.
    Epochs(u64),
}

/// An [`AdaptiveSpec`] with what it leaves to the study.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Adaptation {
    /// How often.
    pub every: Every,
    /// The most bytes.
    pub budget: Budget,
    /// What is measured each time, whatever its points are.
    #[serde(flatten)]
    pub measures: SensitivitySpec,
}

impl AdaptiveSpec {
    /// The same with what it leaves to the study's `[sensitivity]`, whose layers are also those that it
    /// measures; all others stay exact.
    ///
    /// # Errors
    /// Returns the first value that is not valid, or that neither of the two gives.
    pub fn within(&self, table: Option<&SensitivitySpec>) -> Result<Adaptation, Fault> {
        let codecs = self.codecs.clone().or_else(|| Some(table?.codecs.clone())).ok_or_else(|| {
            let reason = "missing, and the study has no `[sensitivity]` whose codecs it could take; say \
                          what to choose from, as in `codecs = [\"q8\", \"q4\", \"q2\"]`";
            Fault::new("codecs", reason)
        })?;
        let measures = SensitivitySpec {
            batches: self.batches.or(table.map(|table| table.batches)).unwrap_or(FEW),
            draws: self.draws.or(table.map(|table| table.draws)).unwrap_or(FEW),
            ..SensitivitySpec::of(codecs, table)
        };
        measures.check()?;
        Ok(Adaptation { every: self.every, budget: self.budget.clone(), measures })
    }
}

impl fmt::Display for AdaptiveSpec {
    /// The plan in words, on one line and without commas, which separate rules.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "adaptive every {} within {}", self.every, self.budget)?;
        if let Some(codecs) = &self.codecs {
            write!(f, " by {}", codecs.join(" "))?;
        }
        for (number, one, several) in
            [(self.batches, "batch", "batches"), (self.draws, "draw", "draws")]
        {
            if let Some(number) = number {
                write!(f, " with {number} {}", if number == 1 { one } else { several })?;
            }
        }
        Ok(())
    }
}

impl Every {
    /// The number of steps, where an epoch has so many.
    pub fn steps(self, per_epoch: u64) -> u64 {
        match self {
            Every::Steps(steps) => steps,
            Every::Epochs(epochs) => epochs.saturating_mul(per_epoch),
        }
    }
}

impl FromStr for Every {
    /// What is wrong and what to write instead.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            format!(
                "`{text}` given, expected a number of epochs or steps, such as \"1 epoch\" or \"100 steps\""
            )
        };
        let (number, unit) = text.trim().split_once(' ').ok_or_else(expected)?;
        let number = number.parse().ok().filter(|number| (1..=MOST).contains(number));
        let number = number.ok_or_else(expected)?;
        match unit.trim() {
            "epoch" | "epochs" => Ok(Every::Epochs(number)),
            "step" | "steps" => Ok(Every::Steps(number)),
            _ => Err(expected()),
        }
    }
}

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, unit) = match *self {
            Every::Steps(steps) => (steps, "step"),
            Every::Epochs(epochs) => (epochs, "epoch"),
        };
        write!(f, "{number} {unit}{}", if number == 1 { "" } else { "s" })
    }
}

impl Serialize for Every {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Every {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<AdaptiveSpec, String> {
        toml::from_str(text).map_err(|e| e.message().to_owned())
    }

    #[test]
    fn steps_are_counted_or_follow_from_epochs() {
        for (text, steps, shown) in [
            ("1 epoch", 40, "1 epoch"),
            ("2 epochs", 80, "2 epochs"),
            ("100 steps", 100, "100 steps"),
            (" 1  step", 1, "1 step"),
        ] {
            let every: Every = text.parse().unwrap();
            assert_eq!((every.steps(40), every.to_string().as_str()), (steps, shown));
            assert_eq!(shown.parse::<Every>().unwrap(), every);
        }
        for text in ["", "1", "epoch", "0 steps", "-1 steps", "1.5 epochs", "1 week"] {
            let error = text.parse::<Every>().unwrap_err();
            assert!(error.contains("such as \"1 epoch\" or \"100 steps\""), "{error}");
        }
    }

    #[test]
    fn what_it_does_not_say_is_the_study_s() {
        let short = read("every = \"1 epoch\"\nbudget = \"0.3x\"").unwrap();
        assert_eq!(short.to_string(), "adaptive every 1 epoch within 0.3x");
        let error = short.within(None).unwrap_err().to_string();
        assert!(error.starts_with("codecs: missing") && error.contains("[\"q8\""), "{error}");
        let table = "codecs = [\"q4\"]\nlayers = [\"conv\"]\nbatches = 5\npoints = [\"end\"]";
        let table: SensitivitySpec = toml::from_str(table).unwrap();
        let found = short.within(Some(&table)).unwrap().measures;
        assert_eq!((found.batches, found.draws, &found.layers), (5, 2, &vec!["conv".to_owned()]));

        let text = "every = \"9 steps\"\nbudget = \"2MiB\"\ncodecs = [\"q8\", \"q2\"]\ndraws = 1";
        let long = read(text).unwrap();
        let shown = "adaptive every 9 steps within 2MiB by q8 q2 with 1 draw";
        assert_eq!(long.to_string(), shown);
        let alone = long.within(None).unwrap().measures;
        assert_eq!((alone.batches, alone.draws, alone.codecs.len()), (2, 1, 2));
        assert_eq!(long.within(Some(&table)).unwrap().measures.codecs, ["q8", "q2"]);
    }

    #[test]
    fn what_is_not_valid_is_named() {
        for (text, expected) in [
            ("budget = \"0.3x\"", "missing field `every`"),
            ("every = \"1 epoch\"", "missing field `budget`"),
            ("every = 1\nbudget = \"0.3x\"", "expected a string"),
            ("every = \"1 day\"\nbudget = \"0.3x\"", "`1 day` given, expected a number of epochs"),
            ("every = \"1 epoch\"\nbudget = \"0.3\"", "`0.3` given, expected a number of bytes"),
            ("every = \"1 epoch\"\nbudget = \"1x\"\ncodec = []", "unknown field `codec`"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let none = read("every = \"1 epoch\"\nbudget = \"1x\"\ncodecs = []").unwrap();
        assert!(none.within(None).unwrap_err().to_string().starts_with("codecs: is empty"));
    }
}
