//! A `study.toml` that names other studies, to be run and reported together.

use std::path::Path;

use packlight_record::layout::STUDY;
use serde::Deserialize;

use super::{Study, is_file_name, suggestion};
use crate::{Error, Result};

/// Several studies that are run and reported together.
#[derive(Debug, Clone)]
pub struct Collection {
    /// What it is about, as a person would say it.
    pub title: String,
    /// Its studies, in the order of the file.
    pub members: Vec<Member>,
}

/// A study of a collection.
#[derive(Debug, Clone)]
pub struct Member {
    /// The name of its folder within the collection's.
    pub name: String,
    /// What stands there.
    pub study: Study,
}

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    title: String,
    studies: Vec<String>,
}

impl Collection {
    /// Reads the collection in `folder` and checks all its studies; `None` where `study.toml`
    /// describes one study itself.
    ///
    /// # Errors
    /// If `study.toml` is missing, has an unknown key (the nearest valid one is suggested), names no
    /// study, one twice, or one that is not there or a collection itself; or as [`Study::read`].
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(STUDY);
        let text = std::fs::read_to_string(&path).map_err(|e| Error::io(&path, e))?;
        if !describes_several(&text) {
            return Ok(None);
        }
        let Named { title, studies } =
            named(&text, folder).map_err(|reason| Error::Study { path, reason })?;
        let member = |name: String| -> Result<Member> {
            let study = Study::read(&folder.join(&name))?;
            Ok(Member { name, study })
        };
        let members = studies.into_iter().map(member).collect::<Result<_>>()?;
        Ok(Some(Self { title, members }))
    }

    /// The threads that its studies ask for, or the most of them.
    pub fn threads(&self) -> usize {
        self.members.iter().map(|member| member.study.threads()).max().unwrap_or(1)
    }
}

/// Whether a text describes a collection: it names studies, or has nothing of what one study needs.
fn describes_several(text: &str) -> bool {
    toml::from_str::<toml::Table>(text).is_ok_and(|table| {
        let has = |key| table.contains_key(key);
        has("studies") || !(has("model") || has("plans"))
    })
}

/// The studies that a collection's text names; the error says what is wrong with it.
fn named(text: &str, folder: &Path) -> Result<Named, String> {
    let named: Named = suggestion::from_toml(text).map_err(|reason| {
        format!(
            "{reason}(a file that has neither [model] nor [plans] is read as a collection of \
             studies)"
        )
    })?;
    if named.studies.is_empty() {
        let example = "give at least one folder, as in `studies = [\"vit\", \"mixer\"]`";
        return Err(format!("studies: is empty; {example}"));
    }
    for (index, name) in named.studies.iter().enumerate() {
        if !is_file_name(name) {
            return Err(format!(
                "studies: `{name}` given, expected the name of a folder beside this file, of letters, \
                 digits, `-` and `_`"
            ));
        }
        if named.studies[..index].contains(name) {
            return Err(format!("studies: `{name}` stands there twice"));
        }
        match std::fs::read_to_string(folder.join(name).join(STUDY)) {
            Ok(text) if describes_several(&text) => {
                return Err(format!(
                    "studies: `{name}` is a collection itself; name its studies in its own file alone"
                ));
            }
            Ok(_) => {}
            Err(e) => {
                let hint = nearest_study(name, folder)
                    .map(|name| format!("; did you mean `{name}`?"))
                    .unwrap_or_default();
                return Err(format!("studies: `{name}`: {name}/{STUDY}: {e}{hint}"));
            }
        }
    }
    Ok(named)
}

/// The folder with a study in it whose name is nearest to `name`.
fn nearest_study(name: &str, folder: &Path) -> Option<String> {
    let folders = std::fs::read_dir(folder).ok()?.filter_map(Result::ok);
    folders
        .filter(|entry| entry.path().join(STUDY).is_file())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .map(|known| (strsim::jaro_winkler(name, &known), known))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}
