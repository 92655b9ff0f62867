//! Names of plans and layers, shortened to fit into a figure.

use crate::text;

/// Names as a figure shows them.
pub(crate) struct Names<'a> {
    full: Vec<&'a str>,
    shown: Vec<String>,
}

impl<'a> Names<'a> {
    /// Shortens `names` to at most `room` pixels each in a font of `size` pixels; different names
    /// stay different.
    pub(crate) fn new(names: impl IntoIterator<Item = &'a str>, size: f64, room: i32) -> Self {
        let full: Vec<&str> = names.into_iter().collect();
        let mut shown: Vec<String> = Vec::new();
        for (index, name) in full.iter().enumerate() {
            let mut short = text::shorten(name, size, room);
            if full.iter().zip(&shown).any(|(other, taken)| other != name && *taken == short) {
                let number = format!(" ({})", index + 1);
                short = text::shorten(name, size, room - text::width(&number, size)) + &number;
            }
            shown.push(short);
        }
        Self { full, shown }
    }

    pub(crate) fn len(&self) -> usize {
        self.full.len()
    }

    /// The name at `index`, as it is shown.
    pub(crate) fn at(&self, index: usize) -> &str {
        &self.shown[index]
    }

    /// The whole name at `index`.
    pub(crate) fn full(&self, index: usize) -> &'a str {
        self.full[index]
    }

    /// The width of the widest name as it is shown, in a font of `size` pixels.
    pub(crate) fn width(&self, size: f64) -> i32 {
        self.shown.iter().map(|name| text::width(name, size)).max().unwrap_or(0)
    }

    /// A sentence that says which name is short for which; empty if none was shortened.
    pub(crate) fn key(&self) -> String {
        let pairs = self.full.iter().zip(&self.shown).filter(|(full, shown)| full != shown);
        let said: Vec<_> = pairs.map(|(full, shown)| format!("{shown} is {full}")).collect();
        if said.is_empty() { String::new() } else { format!(" Shortened: {}.", said.join("; ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_fit_stay_and_need_no_key() {
        let names = Names::new(["none", "pool2"], 12.0, 200);
        assert_eq!((names.at(0), names.at(1)), ("none", "pool2"));
        assert_eq!(names.key(), "");
    }

    #[test]
    fn long_names_fit_and_still_differ() {
        let long: Vec<String> = (0..20).map(|i| format!("{:x<50}{i:02}{:x<48}", "", "")).collect();
        let names = Names::new(long.iter().map(String::as_str), 12.0, 120);
        for (i, full) in long.iter().enumerate() {
            let shown = names.at(i);
            assert!(text::width(shown, 12.0) <= 120, "{shown}");
            assert!((0..i).all(|j| names.at(j) != shown), "{shown}");
            assert!(names.key().contains(&format!("{shown} is {full}")));
        }
    }
}
