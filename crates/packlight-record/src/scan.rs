//! Reading the kinds of lines that long logs consist of, in the form in which this crate writes them.
//!
//! A parser for any JSON spends most of its time on what may come next. Here that is known: each field at
//! its place. Whatever is written in another way is left to `serde_json`, so what is accepted, and what is
//! said of the rest, does not depend on this.

use std::str::FromStr;

use packlight_spec::Point;
use serde::Deserialize;
use serde::de::IntoDeserializer;

use crate::{Distribution, Draws, Fidelity};

/// What is left of a line.
pub(crate) struct Scan<'a>(&'a str);

impl<'a> Scan<'a> {
    pub(crate) fn new(json: &'a str) -> Self {
        Self(json)
    }

    /// Goes past `text`; `None` if something else stands here.
    pub(crate) fn past(&mut self, text: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(text)?;
        Some(())
    }

    /// Goes past `text` if it stands here, and says whether it did.
    pub(crate) fn maybe(&mut self, text: &str) -> bool {
        self.past(text).is_some()
    }

    /// `None` unless the line ends here.
    pub(crate) fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }

    /// A number.
    pub(crate) fn number<T: Number>(&mut self) -> Option<T> {
        let end = self.0.bytes().position(|byte| matches!(byte, b',' | b'}'))?;
        let (number, rest) = self.0.split_at(end);
        if !is_json(number) {
            return None;
        }
        self.0 = rest;
        number.parse().ok().filter(T::is_finite)
    }

    /// A number or null.
    pub(crate) fn optional<T: Number>(&mut self) -> Option<Option<T>> {
        if self.maybe("null") { Some(None) } else { self.number().map(Some) }
    }

    /// A string without escapes.
    pub(crate) fn text(&mut self) -> Option<&'a str> {
        self.past("\"")?;
        let end = self.0.bytes().position(|byte| matches!(byte, b'"' | b'\\'))?;
        let (text, rest) = self.0.split_at(end);
        self.0 = rest;
        self.past("\"")?;
        Some(text)
    }

    /// A point of the training.
    pub(crate) fn point(&mut self) -> Option<Point> {
        let share: Result<Point, serde::de::value::Error> = match self.text() {
            Some(word) => Point::deserialize(word.into_deserializer()),
            None => Point::deserialize(self.number::<f64>()?.into_deserializer()),
        };
        share.ok()
    }

    pub(crate) fn fidelity(&mut self) -> Option<Fidelity> {
        self.past("{\"cosine\":")?;
        let cosine = self.optional()?;
        self.past(",\"relative_error\":")?;
        let relative_error = self.optional()?;
        self.past(",\"norm_ratio\":")?;
        let norm_ratio = self.optional()?;
        self.past(",\"snr_db\":")?;
        let snr_db = self.optional()?;
        self.past(",\"exact_norm\":")?;
        let exact_norm = self.number()?;
        self.past("}")?;
        Some(Fidelity { cosine, relative_error, norm_ratio, snr_db, exact_norm })
    }

    /// A distribution or null.
    pub(crate) fn distribution(&mut self) -> Option<Option<Distribution>> {
        if self.maybe("null") {
            return Some(None);
        }
        self.past("{\"count\":")?;
        let count = self.number()?;
        let mut values = [0.0; 9];
        let names = ["mean", "min", "p05", "p25", "median", "p75", "p95", "max", "nonpositive"];
        for (value, name) in values.iter_mut().zip(names) {
            self.past(",\"")?;
            self.past(name)?;
            self.past("\":")?;
            *value = self.number()?;
        }
        self.past("}")?;
        let [mean, min, p05, p25, median, p75, p95, max, nonpositive] = values;
        Some(Some(Distribution { count, mean, min, p05, p25, median, p75, p95, max, nonpositive }))
    }

    pub(crate) fn draws(&mut self) -> Option<Draws> {
        self.past("{\"count\":")?;
        let count = self.number()?;
        self.past(",\"bias\":")?;
        let bias = self.optional()?;
        self.past(",\"variance\":")?;
        let variance = self.optional()?;
        self.past("}")?;
        Some(Draws { count, bias, variance })
    }
}

/// What a log has numbers of.
pub(crate) trait Number: FromStr {
    /// Whether it is in the range of its type.
    fn is_finite(&self) -> bool {
        true
    }
}

impl Number for u64 {}

impl Number for f64 {
    fn is_finite(&self) -> bool {
        f64::is_finite(*self)
    }
}

/// Whether a number is one of JSON. Rust would also take `inf`, `nan`, `+1`, `01`, `.5` and `1.`.
fn is_json(number: &str) -> bool {
    let digits = number.strip_prefix('-').unwrap_or(number).as_bytes();
    let begins = match digits {
        [b'0', next, ..] => !next.is_ascii_digit(),
        [first, ..] => first.is_ascii_digit(),
        [] => false,
    };
    let plain = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e');
    let behind_point = |pair: &[u8]| pair[0] != b'.' || pair[1].is_ascii_digit();
    let ends = digits.last().is_some_and(u8::is_ascii_digit);
    begins && ends && digits.iter().all(plain) && digits.windows(2).all(behind_point)
}
