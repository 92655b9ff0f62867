//! What a study asks for: its title, its plans in their order, and its seeds.

use std::collections::BTreeMap;
use std::path::Path;

use packlight_record::layout::STUDY;
use serde::Deserialize;
use toml::Spanned;

use crate::study::{Run, StudyPlan as Plan};

/// A study's description, as far as a report needs it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) plans: Vec<Plan>,
    pub(crate) seeds: Vec<u64>,
}

/// As much of `study.toml` as a report needs.
#[derive(Deserialize)]
struct Description {
    name: String,
    title: String,
    seeds: Vec<u64>,
    plans: BTreeMap<String, Spanned<Entry>>,
}

/// What stands behind a plan's name: the plan, or a table with the plan in it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Plan(String),
    Table { plan: Option<String>, ara: Option<Vec<u64>>, from: Option<String> },
}

impl Entry {
    /// The plan's text and the plan that it starts from.
    fn parts(self) -> (String, Option<String>) {
        match self {
            Entry::Plan(spec) => (spec, None),
            Entry::Table { plan, ara, from } => {
                let sizes = |sizes: Vec<u64>| sizes.iter().map(u64::to_string).collect::<Vec<_>>();
                let groups = ara.map(|ara| format!("ara={}", sizes(ara).join(":")));
                (plan.into_iter().chain(groups).collect::<Vec<_>>().join(","), from)
            }
        }
    }
}

impl Grid {
    /// Reads the description of the study in `folder`; `None` where records have been put there
    /// without it, which a report can do without.
    ///
    /// # Errors
    /// What is wrong with the file, if it cannot be read or does not say.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>, String> {
        let text = match std::fs::read_to_string(folder.join(STUDY)) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(format!("{STUDY}: {e}")),
        };
        let Description { name, title, seeds, plans } =
            toml::from_str(&text).map_err(|e| format!("{STUDY}: {}", e.message()))?;
        let mut plans: Vec<_> = plans.into_iter().collect();
        plans.sort_by_key(|(_, entry)| entry.span().start);
        let plan = |(name, entry): (String, Spanned<Entry>)| {
            let (spec, from) = entry.into_inner().parts();
            Plan { name, spec, from }
        };
        Ok(Some(Self { name, title, plans: plans.into_iter().map(plan).collect(), seeds }))
    }

    /// What the manifests of `runs` say where no description does: every plan with every seed.
    pub(crate) fn of(runs: &[Run]) -> Self {
        let mut manifests: Vec<_> = runs.iter().map(|run| &run.manifest).collect();
        manifests.sort_by_key(|m| (m.plan_index, &m.plan, m.seed));
        let mut plans: Vec<Plan> = Vec::new();
        for m in &manifests {
            if plans.iter().all(|plan| plan.name != m.plan) {
                let (name, spec) = (m.plan.clone(), m.plan_spec.clone());
                plans.push(Plan { name, spec, from: m.from.clone() });
            }
        }
        let mut seeds: Vec<u64> = manifests.iter().map(|m| m.seed).collect();
        seeds.sort_unstable();
        seeds.dedup();
        let (name, title) = match manifests.first() {
            Some(m) => (m.study.clone(), m.title.clone()),
            None => (String::new(), "A study without readable runs".to_owned()),
        };
        Self { name, title, plans, seeds }
    }

    /// Every plan with every seed.
    pub(crate) fn cells(&self) -> impl Iterator<Item = (&Plan, u64)> {
        self.plans.iter().flat_map(|plan| self.seeds.iter().map(move |seed| (plan, *seed)))
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
    fn plans_stand_in_the_order_of_the_file_with_their_texts() {
        let text = "name = 'n'\ntitle = 't'\nseeds = [0, 2]\nepochs = 3\n[plans]\nnone = 'none'\n\
                    b = { plan = 'pool2', epochs = 9, ara = [3, 2] }\n\
                    a = { plan = 'pool2', from = 'none' }\nc = { ara = [2] }";
        let grid = read(text).unwrap().unwrap();
        let plan = |name: &str, spec: &str, from: Option<&str>| Plan {
            name: name.into(),
            spec: spec.into(),
            from: from.map(Into::into),
        };
        let plans = [
            plan("none", "none", None),
            plan("b", "pool2,ara=3:2", None),
            plan("a", "pool2", Some("none")),
            plan("c", "ara=2", None),
        ];
        assert_eq!(grid.plans, plans);
        assert_eq!((grid.seeds, grid.name, grid.title), (vec![0, 2], "n".into(), "t".into()));
    }

    #[test]
    fn a_missing_file_is_no_error_and_a_senseless_one_is() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Grid::read(folder.path()), Ok(None));
        assert!(read("seeds = [0").unwrap_err().starts_with("study.toml: "));
        let without = "name = 'n'\ntitle = 't'\nseeds = [0]";
        assert!(read(without).unwrap_err().contains("plans"));
        assert!(read(&format!("{without}\n[plans]\na = 3")).is_err());
    }
}
