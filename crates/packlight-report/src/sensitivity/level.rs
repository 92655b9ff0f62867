//! Codecs that differ in their level alone, such as `q8` and `q2`.

/// A codec at several levels.
#[derive(Debug, PartialEq)]
pub(crate) struct Family<'a> {
    /// Its text with an ellipsis for the level: `q…`, `hosvd:…`.
    pub(crate) name: String,
    /// The codec at each level, from the largest number to the smallest.
    pub(crate) codecs: Vec<&'a str>,
}

/// The families among `codecs` that have several levels.
pub(crate) fn families(codecs: &[String]) -> Vec<Family<'_>> {
    let mut found: Vec<(String, Vec<(f64, &str)>)> = Vec::new();
    for codec in codecs {
        let Some((name, level)) = split(codec) else { continue };
        match found.iter_mut().find(|(known, _)| *known == name) {
            Some((_, levels)) => levels.push((level, codec)),
            None => found.push((name, vec![(level, codec)])),
        }
    }
    found.retain(|(_, levels)| levels.len() > 1);
    found
        .into_iter()
        .map(|(name, mut levels)| {
            levels.sort_by(|a, b| b.0.total_cmp(&a.0));
            Family { name, codecs: levels.into_iter().map(|(_, codec)| codec).collect() }
        })
        .collect()
}

/// A codec's text with an ellipsis for its first number, and that number; `None` if it has none.
fn split(codec: &str) -> Option<(String, f64)> {
    let start = codec.find(|c: char| c.is_ascii_digit())?;
    let rest = &codec[start..];
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let level = rest[..end].parse().ok()?;
    Some((format!("{}…{}", &codec[..start], &rest[end..]), level))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codecs_are_grouped_by_what_is_left_without_the_level() {
        let codecs =
            ["q2", "hosvd:0.8", "q8", "q2:nearest", "mesa", "hosvd:0.9", "q10", "asi:2MiB"];
        let codecs = codecs.map(String::from);
        let found = families(&codecs);
        let names: Vec<&str> = found.iter().map(|family| family.name.as_str()).collect();
        assert_eq!(names, ["q…", "hosvd:…"]);
        assert_eq!(found[0].codecs, ["q10", "q8", "q2"]);
        assert_eq!(found[1].codecs, ["hosvd:0.9", "hosvd:0.8"]);
        assert_eq!(split("asi:2MiB"), Some(("asi:…MiB".to_owned(), 2.0)));
    }
}
