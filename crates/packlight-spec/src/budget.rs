//! A budget of bytes, as users write it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The units, and how many bytes each is.
const UNITS: [(&str, f64); 7] = [
    ("KiB", 1024.0),
    ("MiB", 1024.0 * 1024.0),
    ("GiB", 1024.0 * 1024.0 * 1024.0),
    ("KB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("B", 1.0),
];

/// So many bytes, such as `200MiB`, or a share of what the exact plan keeps, such as `0.3x`.
#[derive(Debug, Clone, PartialEq)]
pub struct Budget {
    text: String,
    amount: f64,
    /// Whether the amount is a share, not bytes.
    is_share: bool,
}

/// The amount is finite.
impl Eq for Budget {}

impl FromStr for Budget {
    /// What is wrong and what to write instead.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let share = text.strip_suffix('x').map(|number| (number, 1.0));
        let bytes =
            || UNITS.iter().find_map(|(unit, size)| Some((text.strip_suffix(unit)?, *size)));
        let amount = share
            .or_else(bytes)
            .and_then(|(number, size)| Some(number.trim_end().parse::<f64>().ok()? * size));
        match amount.filter(|amount| amount.is_finite() && *amount > 0.0) {
            Some(amount) => Ok(Self { text: text.to_owned(), amount, is_share: share.is_some() }),
            None => Err("expected a number of bytes above 0 with its unit, such as 200MiB (B; KiB, MiB \
                         and GiB count in 1024s, KB, MB and GB in thousands), or a share of what the \
                         exact plan keeps, such as 0.3x"
                .to_owned()),
        }
    }
}

impl Budget {
    /// The whole bytes, where the exact plan keeps `exact`.
    pub fn bytes(&self, exact: u64) -> u64 {
        match self.is_share {
            true => (self.amount * exact as f64).floor() as u64,
            false => self.amount.floor() as u64,
        }
    }

    /// The whole bytes; `None` of a share.
    pub fn in_bytes(&self) -> Option<u64> {
        (!self.is_share).then(|| self.bytes(0))
    }

    /// A name for a plan with this budget: of letters, digits, `-` and `_`.
    pub fn plan_name(&self) -> String {
        let fits = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        format!(
            "allocated-{}",
            self.text.chars().filter(|c| *c != ' ').map(fits).collect::<String>()
        )
    }
}

impl fmt::Display for Budget {
    /// The budget as it was written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Budget {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Budget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|expected| de::Error::custom(format!("`{text}` given, {expected}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_bytes_or_a_share() {
        for (text, bytes, name) in [
            ("200MiB", 200 << 20, "allocated-200MiB"),
            ("1.5 KiB", 1536, "allocated-1_5KiB"),
            ("2GiB", 2 << 30, "allocated-2GiB"),
            ("3KB", 3000, "allocated-3KB"),
            ("3MB", 3_000_000, "allocated-3MB"),
            ("1GB", 1_000_000_000, "allocated-1GB"),
            ("17B", 17, "allocated-17B"),
            ("0.3x", 300, "allocated-0_3x"),
            ("2x", 2002, "allocated-2x"),
        ] {
            let budget: Budget = text.parse().unwrap();
            assert_eq!((budget.bytes(1001), budget.plan_name()), (bytes, name.to_owned()));
        }
    }

    #[test]
    fn what_is_no_budget_is_told_what_is_one() {
        for text in ["", "200", "MiB", "x", "-1MiB", "0B", "0x", "nanx", "infB", "200mib", "1e400B"]
        {
            let error = text.parse::<Budget>().unwrap_err();
            assert!(error.contains("such as 200MiB") && error.contains("such as 0.3x"), "{text}");
        }
    }
}
