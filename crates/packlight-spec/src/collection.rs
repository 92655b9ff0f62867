//! A `study.toml` that names other studies, to be run and reported together.

use std::path::Path;

use serde::Deserialize;

use crate::from_toml::from_toml;
use crate::layout::STUDY;
use crate::nearest::did_you_mean;
use crate::study::is_file_name;
use crate::{Error, Result};

/// Several studies that are run and reported together.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Collection {
    /// What the collection is about, for people.
    pub title: String,
    /// The names of the studies' folders within the collection's, in the order of the file.
    pub studies: Vec<String>,
}

impl Collection {
    /// Reads the collection in `folder`; `None` if `study.toml` describes one study itself.
    ///
    /// # Errors
    /// Returns an error if `study.toml` is missing, has an unknown key (the nearest valid one is
    /// suggested), or names no study, one twice, or something that is no folder's name.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(STUDY);
        let text = std::fs::read_to_string(&path).map_err(|e| Error::io(&path, e))?;
        if !describes_several(&text) {
            return Ok(None);
        }
        Self::parse(&text).map(Some).map_err(|reason| Error::invalid(&path, reason))
    }

    /// Reads the collection in `folder` for a reader that does not require a description; `None` if
    /// `study.toml` is missing, damaged, or names no studies.
    ///
    /// # Errors
    /// Returns an error as [`Collection::read`] does, if the file names studies.
    pub fn find(folder: &Path) -> Result<Option<Self>> {
        let text = std::fs::read_to_string(folder.join(STUDY)).unwrap_or_default();
        match toml::from_str::<toml::Table>(&text) {
            Ok(table) if table.contains_key("studies") => Self::read(folder),
            _ => Ok(None),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let collection: Self = from_toml(text).map_err(|reason| {
            format!(
                "{reason}(a file that has neither [model] nor [plans] is read as a collection of \
                 studies)"
            )
        })?;
        if collection.studies.is_empty() {
            let example = "give at least one folder, as in `studies = [\"vit\", \"mixer\"]`";
            return Err(format!("studies: is empty; {example}"));
        }
        for (index, name) in collection.studies.iter().enumerate() {
            if !is_file_name(name) {
                return Err(format!(
                    "studies: `{name}` given, expected a folder beside this file, its name of \
                     letters, digits, `-` and `_`"
                ));
            }
            if collection.studies[..index].contains(name) {
                return Err(format!("studies: `{name}` stands there twice"));
            }
        }
        Ok(collection)
    }

    /// Checks that each study of the collection in `folder` has a description and is not itself a
    /// collection.
    ///
    /// # Errors
    /// Returns an error that names the first study that fails the check.
    pub fn check(&self, folder: &Path) -> Result<()> {
        let invalid = |reason: String| Err(Error::invalid(&folder.join(STUDY), reason));
        for name in &self.studies {
            match std::fs::read_to_string(folder.join(name).join(STUDY)) {
                Ok(text) if describes_several(&text) => {
                    return invalid(format!(
                        "studies: `{name}` is a collection itself; name its studies only in its own \
                         file"
                    ));
                }
                Ok(_) => {}
                Err(e) => {
                    let studies = studies_in(folder);
                    let hint = did_you_mean(name, studies.iter().map(String::as_str));
                    return invalid(format!("studies: `{name}`: {name}/{STUDY}: {e}{hint}"));
                }
            }
        }
        Ok(())
    }
}

/// Whether a text describes a collection: it names studies, or has no key that a study needs.
fn describes_several(text: &str) -> bool {
    toml::from_str::<toml::Table>(text).is_ok_and(|table| {
        let has = |key| table.contains_key(key);
        has("studies") || !(has("model") || has("plans"))
    })
}

/// The names of the folders in `folder` that hold a study or a collection.
pub fn studies_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut names: Vec<String> = entries
        .filter(|entry| entry.path().join(STUDY).is_file())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_beside_the_file_can_be_named() {
        let named =
            |name: &str| Collection::parse(&format!("title = 't'\nstudies = ['a', '{name}']"));
        assert_eq!(named("b").unwrap().studies, ["a", "b"]);
        for elsewhere in ["", ".", "..", "../b", "/b", "b/c", "b/"] {
            let error = named(elsewhere).unwrap_err();
            assert!(error.contains("expected a folder beside this file"), "{error}");
        }
        assert!(named("a").unwrap_err().contains("`a` stands there twice"));
        assert!(Collection::parse("studies = ['a']").unwrap_err().contains("title"));
        assert!(Collection::parse("title = 't'\nstudies = []").unwrap_err().contains("is empty"));
    }

    #[test]
    fn a_description_that_names_no_studies_is_found_by_nobody_who_can_do_without() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Collection::find(folder.path()).unwrap(), None);
        for text in ["name = 'x'\nseeds = [0]", "seeds = [0"] {
            std::fs::write(folder.path().join(STUDY), text).unwrap();
            assert_eq!(Collection::find(folder.path()).unwrap(), None, "{text}");
        }
        std::fs::write(folder.path().join(STUDY), "studies = ['a']").unwrap();
        assert!(Collection::find(folder.path()).is_err());
    }
}
