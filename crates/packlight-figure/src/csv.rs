//! A figure's data as comma-separated values.

use std::fmt::Write as _;

/// Rows under a header, written as RFC 4180 has it, with line feeds.
pub(crate) struct Csv(String);

impl Csv {
    pub(crate) fn new(header: &[&str]) -> Self {
        let mut csv = Self(String::new());
        csv.row(header.iter().map(|h| (*h).to_string()));
        csv
    }

    pub(crate) fn row(&mut self, fields: impl IntoIterator<Item = String>) {
        for (i, field) in fields.into_iter().enumerate() {
            if i > 0 {
                self.0.push(',');
            }
            if field.contains([',', '"', '\n', '\r']) {
                // Writing to a string cannot fail.
                let _ = write!(self.0, "\"{}\"", field.replace('"', "\"\""));
            } else {
                self.0.push_str(&field);
            }
        }
        self.0.push('\n');
    }

    pub(crate) fn finish(self) -> String {
        self.0
    }
}

/// A number to its last digit; empty where it is missing or undefined.
pub(crate) fn number(value: f64) -> String {
    if value.is_finite() { format!("{value}") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        let mut csv = Csv::new(&["plan", "value"]);
        csv.row(["a=pool2,b=none".to_string(), number(0.1)]);
        csv.row(["say \"x\"".to_string(), number(f64::NAN)]);
        assert_eq!(csv.finish(), "plan,value\n\"a=pool2,b=none\",0.1\n\"say \"\"x\"\"\",\n");
    }
}
