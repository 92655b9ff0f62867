//! What somebody who mistyped a key probably meant.

use serde::de::DeserializeOwned;

/// What `text` says, as TOML; the error suggests the key or value that was probably meant.
pub(super) fn from_toml<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    toml::from_str(text).map_err(|e| {
        let hint = suggestion(e.message())
            .map(|name| format!("did you mean `{name}`?\n"))
            .unwrap_or_default();
        format!("{e}{hint}")
    })
}

/// The known name nearest to the unknown one that serde's `message` complains of.
///
/// serde says ``unknown field `epoch`, expected one of `name`, `epochs` `` (or `unknown variant`):
/// the first name in backticks is the unknown one, the others are those that it knows.
fn suggestion(message: &str) -> Option<String> {
    let complaint = message.lines().find(|line| line.contains("unknown "))?;
    let mut names = complaint.split('`').skip(1).step_by(2);
    let unknown = names.next()?;
    names
        .map(|known| (strsim::jaro_winkler(unknown, known), known))
        .filter(|&(likeness, _)| likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known.to_owned())
}

#[cfg(test)]
mod tests {
    use super::suggestion;

    #[test]
    fn the_nearest_of_the_known_names() {
        let message = "unknown field `epoch`, expected one of `name`, `epochs`, `seeds`";
        assert_eq!(suggestion(message).as_deref(), Some("epochs"));
        let message = "unknown variant `resnet81`, expected `resnet18` or `mlp`";
        assert_eq!(suggestion(message).as_deref(), Some("resnet18"));
    }

    #[test]
    fn nothing_for_a_stranger_or_another_complaint() {
        assert_eq!(suggestion("unknown field `xyz`, expected `name` or `seeds`"), None);
        assert_eq!(suggestion("missing field `name`"), None);
    }
}
