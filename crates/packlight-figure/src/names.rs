//! Names of plans and layers, shortened to fit into a figure.

use crate::text;

/// Names as a figure shows them.
pub(crate) struct Names<'a> {
    full: Vec<&'a str>,
    shown: Vec<String>,
}

impl<'a> Names<'a> {
    /// Shortens `names` at their ends to at most `room` pixels each in a font of `size` pixels;
    /// different names stay different.
    pub(crate) fn new(names: impl IntoIterator<Item = &'a str>, size: f64, room: i32) -> Self {
        Self::shortened(names, |name, taken| {
            text::shorten(name, size, room - text::width(taken, size))
        })
    }

    /// Shortens names of layers, which are paths and differ at their ends, as [`new`](Self::new) does:
    /// parts become initials from the left, as in `e.l.0.attention.query`.
    pub(crate) fn layers(names: impl IntoIterator<Item = &'a str>, size: f64, room: i32) -> Self {
        Self::shortened(names, |name, taken| {
            let room = room - text::width(taken, size);
            text::shorten(&initials(name, size, room), size, room)
        })
    }

    /// Shortens names by `shorten`, which leaves room for its second argument: a number where two
    /// would be alike.
    fn shortened(
        names: impl IntoIterator<Item = &'a str>,
        shorten: impl Fn(&str, &str) -> String,
    ) -> Self {
        let full: Vec<&str> = names.into_iter().collect();
        let mut shown: Vec<String> = Vec::new();
        for (index, name) in full.iter().enumerate() {
            let mut short = shorten(name, "");
            if full.iter().zip(&shown).any(|(other, taken)| other != name && *taken == short) {
                let number = format!(" ({})", index + 1);
                short = shorten(name, &number) + &number;
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

/// `path` with as many of its leading parts as their initials as it takes to fit, but the last part whole.
fn initials(path: &str, size: f64, room: i32) -> String {
    let mut parts: Vec<&str> = path.split('.').collect();
    for at in 0..parts.len().saturating_sub(1) {
        if text::width(&parts.join("."), size) <= room {
            break;
        }
        parts[at] = parts[at].chars().next().map_or("", |first| &parts[at][..first.len_utf8()]);
    }
    parts.join(".")
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

    #[test]
    fn layers_keep_the_ends_of_their_names() {
        let name = "decoder.decoder_layers.0.src_multi_headed_attention.qkv_nets.2";
        let target = name.replace("src", "trg");
        let shown = |room| Names::layers([name, &target], 12.0, room).shown;
        assert_eq!(shown(1000), [name, &target]);
        assert_eq!(shown(330)[0], "d.d.0.src_multi_headed_attention.qkv_nets.2");
        assert_eq!(shown(200), ["d.d.0.s.qkv_nets.2", "d.d.0.t.qkv_nets.2"]);
        assert_eq!(shown(60), ["d.d.0.s.q…", "d.d.0.t.q…"]);
    }
}
