//! Suggests the name that was probably meant instead of a mistyped one.

/// The least similarity, from 0 to 1, for a name to be suggested.
const ALIKE: f64 = 0.7;

/// The candidate most similar to `name` by Jaro-Winkler similarity, if it is similar enough.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|&(likeness, _)| likeness > ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// `; did you mean `NAME`?` with the candidate nearest to `name`, to end a message with; an empty text
/// if none is near.
pub fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, candidates).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

/// The known name nearest to the unknown one that serde's `message` complains about.
///
/// Serde says ``unknown field `epoch`, expected one of `name`, `epochs` `` (or `unknown variant`):
/// the first name in backticks is the unknown one, and the others are those that it knows.
pub fn suggestion(message: &str) -> Option<&str> {
    let complaint = message.lines().find(|line| line.contains("unknown "))?;
    let mut names = complaint.split('`').skip(1).step_by(2);
    nearest(names.next()?, names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_found_and_a_stranger_is_not() {
        let names = ["conv1", "layer1.0.conv1", "fc"];
        assert_eq!(nearest("cnov1", names), Some("conv1"));
        assert_eq!(nearest("module.layer1.0.conv1", names), Some("layer1.0.conv1"));
        assert_eq!(nearest("xyz", names), None);
    }

    #[test]
    fn the_nearest_of_the_names_that_serde_knows() {
        let message = "unknown field `epoch`, expected one of `name`, `epochs`, `seeds`";
        assert_eq!(suggestion(message), Some("epochs"));
        let message = "unknown variant `resnet81`, expected `resnet18` or `mlp`";
        assert_eq!(suggestion(message), Some("resnet18"));
    }

    #[test]
    fn nothing_for_a_stranger_or_another_complaint() {
        assert_eq!(suggestion("unknown field `xyz`, expected `name` or `seeds`"), None);
        assert_eq!(suggestion("missing field `name`"), None);
    }
}
