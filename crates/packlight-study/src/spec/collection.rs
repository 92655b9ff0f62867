//! Several studies that are run together.

use std::path::Path;

use super::{Study, read_study};
use crate::Result;

/// Several studies that are run and reported together.
#[derive(Debug, Clone)]
pub struct Collection {
    /// What the collection is about, for people.
    pub title: String,
    /// Its studies, in the order of the file.
    pub members: Vec<Member>,
}

/// A study of a collection.
#[derive(Debug, Clone)]
pub struct Member {
    /// The name of its folder within the collection's folder.
    pub name: String,
    /// The study in that folder.
    pub study: Study,
}

impl Collection {
    /// Reads the collection in `folder` and checks all its studies, each as [`read_study`] does; `None` if
    /// `study.toml` describes one study itself.
    ///
    /// # Errors
    /// Returns an error if `study.toml` is not valid (see [`packlight_spec::Collection`]), or as
    /// [`read_study`] does for one of its studies.
    pub fn read(folder: &Path, data_dir: Option<&Path>) -> Result<Option<Self>> {
        let Some(collection) = packlight_spec::Collection::read(folder)? else { return Ok(None) };
        collection.check(folder)?;
        let member = |name: String| -> Result<Member> {
            let study = read_study(&folder.join(&name), data_dir)?;
            Ok(Member { name, study })
        };
        let members = collection.studies.into_iter().map(member).collect::<Result<_>>()?;
        Ok(Some(Self { title: collection.title, members }))
    }

    /// The largest number of threads that one of its studies asks for.
    pub fn threads(&self) -> usize {
        self.members.iter().map(|member| member.study.threads()).max().unwrap_or(1)
    }
}
