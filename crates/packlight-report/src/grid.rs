//! The runs that a study asks for, started or not.

use std::collections::BTreeMap;
use std::path::Path;

use packlight_record::layout::STUDY;
use serde::Deserialize;
use toml::{Spanned, Value};

/// The plans of a study, in its order, and its seeds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    pub(crate) plans: Vec<String>,
    pub(crate) seeds: Vec<u64>,
}

/// As much of `study.toml` as says which runs there are to be.
#[derive(Deserialize)]
struct Planned {
    seeds: Vec<u64>,
    plans: BTreeMap<String, Spanned<Value>>,
}

impl Grid {
    /// Reads the grid from the study in `folder`; `None` where records have been put there without
    /// the study's description, which a report can do without.
    ///
    /// # Errors
    /// What is wrong with the file, if it cannot be read or does not say.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>, String> {
        let text = match std::fs::read_to_string(folder.join(STUDY)) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(format!("{STUDY}: {e}")),
        };
        let planned: Planned =
            toml::from_str(&text).map_err(|e| format!("{STUDY}: {}", e.message()))?;
        let mut plans: Vec<_> = planned.plans.into_iter().collect();
        plans.sort_by_key(|(_, plan)| plan.span().start);
        let plans = plans.into_iter().map(|(name, _)| name).collect();
        Ok(Some(Self { plans, seeds: planned.seeds }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Grid>, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(STUDY), text).unwrap();
        Grid::read(folder.path())
    }

    #[test]
    fn plans_stand_in_the_order_of_the_file() {
        let text = "seeds = [0, 2]\nepochs = 3\n[plans]\nnone = 'none'\n\
                    b = { plan = 'pool2', epochs = 9 }\na = 'pool2'";
        let grid = read(text).unwrap().unwrap();
        assert_eq!(grid.plans, ["none", "b", "a"]);
        assert_eq!(grid.seeds, [0, 2]);
    }

    #[test]
    fn a_missing_file_is_no_error_and_a_senseless_one_is() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Grid::read(folder.path()), Ok(None));
        assert!(read("seeds = [0").unwrap_err().starts_with("study.toml: "));
        assert!(read("seeds = [0]").unwrap_err().contains("plans"));
    }
}
