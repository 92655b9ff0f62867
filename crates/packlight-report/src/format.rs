//! Numbers, lists and paths as text.

use std::path::{Path, PathBuf};

use serde::Serializer;

/// Serializes a path as text; what is not Unicode is replaced.
pub(crate) fn path<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

/// Serializes paths as [`path`] does one.
pub(crate) fn paths<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().map(|path| path.to_string_lossy()))
}

/// A fraction in per cent with one decimal, such as `97.1 %`.
pub(crate) fn percent(fraction: f64) -> String {
    if fraction.is_finite() { format!("{:.1} %", fraction * 100.0) } else { "–".to_string() }
}

/// A number with three decimals, in scientific notation from 1000 on; an en dash if it is not
/// finite.
pub(crate) fn thousandths(value: f64) -> String {
    match value {
        v if !v.is_finite() => "–".to_string(),
        v if v.abs() >= 1000.0 => format!("{v:.1e}").replace('-', "−"),
        v => format!("{v:.3}").replace('-', "−"),
    }
}

/// A cosine with three decimals, or its distance from 1 where they would all be nines.
pub(crate) fn cosine(value: f64) -> String {
    let distance = 1.0 - value;
    match (1e-12..5e-4).contains(&distance) {
        true => format!("1 − {distance:.1e}").replace('-', "−"),
        false => thousandths(value),
    }
}

/// Bytes in binary units; an en dash for `None`.
pub(crate) fn bytes(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_string(), packlight_figure::binary)
}

/// A time in milliseconds.
pub(crate) fn milliseconds(seconds: f64) -> String {
    format!("{:.1} ms", seconds * 1000.0)
}

/// A multiple of something else, with a third decimal where two would leave hardly a digit; an en dash
/// if there is none.
pub(crate) fn multiple(ratio: Option<f64>) -> String {
    match ratio.filter(|r| r.is_finite()) {
        Some(ratio) if ratio < 0.1 => format!("{ratio:.3}×"),
        Some(ratio) => format!("{ratio:.2}×"),
        None => "–".to_owned(),
    }
}

/// A difference of fractions in percentage points, such as `−0.7`.
pub(crate) fn points(difference: f64) -> String {
    // What rounds to nothing has no sign.
    let rounded = (1000.0 * difference).round() / 10.0;
    if rounded == 0.0 { "0.0".to_owned() } else { format!("{rounded:+.1}").replace('-', "−") }
}

/// Items as a list in a sentence: `a, b and c`.
pub(crate) fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// `1 seed`, `2 seeds`.
pub(crate) fn count(n: u64, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// The change from `base` to `value` in per cent, such as `23.0 % less`.
pub(crate) fn change(value: f64, base: f64, less: &str, more: &str) -> String {
    let change = value / base - 1.0;
    match change {
        c if !c.is_finite() => "–".to_string(),
        c if c.abs() < 0.0005 => "no difference".to_string(),
        c if c < 0.0 => format!("{} {less}", percent(-c)),
        c => format!("{} {more}", percent(c)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_they_should() {
        assert_eq!(percent(0.9712), "97.1 %");
        assert_eq!(percent(f64::NAN), "–");
        let said = [0.1234, -2.0, 60_140_667.5, f64::INFINITY].map(thousandths);
        assert_eq!(said, ["0.123", "−2.000", "6.0e7", "–"]);
        assert_eq!([0.99996, 1.0, 0.87].map(cosine), ["1 − 4.0e−5", "1.000", "0.870"]);
        assert_eq!(change(77.0, 100.0, "less", "more"), "23.0 % less");
        assert_eq!(change(100.0, 100.0, "less", "more"), "no difference");
        assert_eq!(list(&["a".into(), "b".into(), "c".into()]), "a, b and c");
        assert_eq!(count(1, "seed"), "1 seed");
        assert_eq!([-0.0071, 0.023, -0.0001].map(points), ["−0.7", "+2.3", "0.0"]);
        let said = [Some(0.5), Some(0.0375), None].map(multiple);
        assert_eq!(said, ["0.50×", "0.037×", "–"]);
    }
}
