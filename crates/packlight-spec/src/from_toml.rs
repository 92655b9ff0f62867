//! Reads TOML, with errors in the words of someone who wrote it by hand.

use serde::de::DeserializeOwned;

use crate::nearest::suggestion;

/// What serde calls types, as words of Rust or of its own, and what people call them.
const TYPES: [(&str, &str); 11] = [
    ("expected usize", "expected a whole number, 0 or more"),
    ("expected u64", "expected a whole number, 0 or more"),
    ("expected u32", "expected a whole number, 0 or more"),
    ("expected u16", "expected a whole number, 0 or more"),
    ("expected u8", "expected a whole number, 0 or more"),
    ("expected f64", "expected a number"),
    ("expected f32", "expected a number"),
    ("expected a sequence", "expected a list"),
    ("expected a boolean", "expected true or false"),
    ("floating point `", "number `"),
    ("integer `", "number `"),
];

/// Reads TOML; the error suggests the key or value that was probably meant.
pub(crate) fn from_toml<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    toml::from_str(text).map_err(|e| {
        let message = e.message();
        let hint = suggestion(message)
            .filter(|_| !message.contains("did you mean"))
            .map(|name| format!("did you mean `{name}`?\n"))
            .unwrap_or_default();
        let plain =
            TYPES.iter().fold(message.to_owned(), |m, (serde, plain)| m.replace(serde, plain));
        format!("{}{hint}", e.to_string().replace(message, &plain))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_type_has_the_name_that_people_give_it() {
        type Rows = BTreeMap<String, Vec<u64>>;
        for (text, words) in [
            ("a = [1.5]", "invalid type: number `1.5`, expected a whole number, 0 or more"),
            ("a = [-1]", "invalid value: number `-1`, expected a whole number, 0 or more"),
            ("a = 1", "invalid type: number `1`, expected a list"),
        ] {
            let error = from_toml::<Rows>(text).unwrap_err();
            assert!(error.contains(words) && error.contains("line 1"), "{error}");
        }
        let error = from_toml::<BTreeMap<String, f64>>("a = \"b\"").unwrap_err();
        assert!(error.contains("string \"b\", expected a number"), "{error}");
    }
}
