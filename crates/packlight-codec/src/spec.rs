//! How a codec's name and parameters are written: `pool2`, `hosvd:0.8`.

use std::fmt::Display;
use std::ops::Bound;
use std::str::FromStr;

use crate::{Error, Result};

/// The parameters of a spec such as `NAME:A:B`; `None` where it is of another codec.
pub(crate) fn parameters<'a>(spec: &'a str, name: &str) -> Option<Vec<&'a str>> {
    let rest = spec.strip_prefix(name)?;
    if rest.is_empty() {
        return Some(Vec::new());
    }
    Some(rest.strip_prefix(':')?.split(':').collect())
}

/// The parameter of a spec with one alone, such as `NAME:A`; `None` where it is of another codec.
///
/// # Errors
/// If there is none, or more; `example` is how to write it.
pub(crate) fn only<'a>(spec: &'a str, name: &str, example: &str) -> Option<Result<&'a str>> {
    Some(match parameters(spec, name)?[..] {
        [parameter] => Ok(parameter),
        _ => Err(wrong(spec, format!("one parameter expected, as in `{example}`"))),
    })
}

/// The number that `text`, a part of `spec`, stands for.
///
/// # Errors
/// If it is none or not within `range`; `expected` says what it should be.
pub(crate) fn number<T: FromStr + PartialOrd>(
    spec: &str,
    text: &str,
    range: impl std::ops::RangeBounds<T>,
    expected: &str,
) -> Result<T> {
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| wrong(spec, format!("{expected} expected; `{text}` found")))
}

/// An error about the parameters of `spec`.
pub(crate) fn wrong(spec: &str, reason: impl Display) -> Error {
    Error::Parameter { spec: spec.into(), reason: reason.to_string() }
}

/// The share of a whole, above 0 and at most 1, that `text`, a part of `spec`, stands for.
///
/// # Errors
/// If it is none.
pub(crate) fn share(spec: &str, text: &str) -> Result<f64> {
    let range = (Bound::Excluded(0.0), Bound::Included(1.0));
    number(spec, text, range, "a share above 0 and at most 1, such as 0.1,")
}

/// This share of `count`, to the nearest whole number, but at least one of what there is.
pub(crate) fn share_of(share: f64, count: usize) -> usize {
    ((share * count as f64).round() as usize).clamp(count.min(1), count)
}
