//! An invalid value in a description.

use std::fmt::Display;
use std::ops::RangeInclusive;

/// An invalid value in a description: its key and what is wrong with it, shown as `key: reason`.
///
/// Every part of a description is checked by a function `check(&self) -> Result<(), Fault>`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {reason}")]
pub struct Fault {
    /// The key, with the tables that it is in: `optimizer.momentum`.
    pub key: String,
    /// What is wrong with its value, and what to write instead.
    pub reason: String,
}

impl Fault {
    /// Makes a fault of the value of `key`.
    pub fn new(key: impl Into<String>, reason: impl Display) -> Self {
        Self { key: key.into(), reason: reason.to_string() }
    }

    /// Adds the name of the table that the key is in.
    pub fn within(self, table: &str) -> Self {
        Self { key: format!("{table}.{}", self.key), reason: self.reason }
    }

    /// Checks that a number is in a range.
    ///
    /// # Errors
    /// Returns a fault of `key` if `value` is outside `range`.
    pub fn unless_within<T: PartialOrd + Display>(
        key: &str,
        value: T,
        range: RangeInclusive<T>,
    ) -> Result<(), Self> {
        match range.contains(&value) {
            true => Ok(()),
            false => {
                let expected = format!("expected {} to {}", range.start(), range.end());
                Err(Self::new(key, format!("{value} given, {expected}")))
            }
        }
    }

    /// Checks that a number is a probability below 1.
    ///
    /// # Errors
    /// Returns a fault of `key` if `value` is not in [0, 1).
    pub fn unless_probability(key: &str, value: f64) -> Result<(), Self> {
        match (0.0..1.0).contains(&value) {
            true => Ok(()),
            false => Err(Self::new(key, format!("{value} given, expected 0 <= {key} < 1"))),
        }
    }
}
