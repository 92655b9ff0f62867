//! What a study compares: title, plans and seeds.

use std::path::Path;

use serde::Deserialize;

use crate::layout::STUDY;
use crate::named_plan::in_order;
use crate::{Error, NamedPlan, Result};

/// What a study compares: the part of `study.toml` that a report needs. Other keys are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Grid {
    /// The study's name.
    pub name: String,
    /// The study's title.
    pub title: String,
    /// The plans, in the order of the file.
    #[serde(deserialize_with = "in_order")]
    pub plans: Vec<NamedPlan>,
    /// The seeds that each plan is run with.
    pub seeds: Vec<u64>,
}

impl Grid {
    /// Reads the grid of the study in `folder`; `None` if there is no `study.toml`.
    ///
    /// # Errors
    /// Returns what is wrong with the file if it cannot be read or lacks one of the keys.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(STUDY);
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let grid = toml::from_str(&text);
                grid.map(Some).map_err(|e| Error::invalid(&path, e.message()))
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io(&path, e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(text: &str) -> Result<Option<Grid>> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(STUDY), text).unwrap();
        Grid::read(folder.path())
    }

    #[test]
    fn a_grid_is_read_whatever_the_rest_says() {
        let text = "name = 'n'\ntitle = 't'\nseeds = [0, 2]\nbatch = 'all'\nmodel = 7\n[plans]\n\
                    none = 'none'\nb = { plan = 'pool2', epochs = 9, ara = [3, 2] }\n\
                    a = { plan = 'new-codec', from = 'none' }\nc = { ara = [2] }\n[data]\nname = 'new'";
        let grid = grid(text).unwrap().unwrap();
        let plan = |name: &str, spec: &str, epochs: Option<u64>, from: Option<&str>| NamedPlan {
            name: name.into(),
            spec: spec.into(),
            adaptive: None,
            epochs,
            from: from.map(Into::into),
        };
        let plans = [
            plan("none", "none", None, None),
            plan("b", "pool2,ara=3:2", Some(9), None),
            plan("a", "new-codec", None, Some("none")),
            plan("c", "ara=2", None, None),
        ];
        assert_eq!(grid.plans, plans);
        assert_eq!((grid.seeds, grid.name, grid.title), (vec![0, 2], "n".into(), "t".into()));
    }

    #[test]
    fn a_missing_grid_is_no_error_and_an_invalid_one_is() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Grid::read(folder.path()).unwrap(), None);
        assert!(grid("seeds = [0").unwrap_err().to_string().contains("study.toml: "));
        let without = "name = 'n'\ntitle = 't'\nseeds = [0]";
        assert!(grid(without).unwrap_err().to_string().contains("plans"));
        assert!(grid(&format!("{without}\n[plans]\na = 3")).is_err());
    }
}
