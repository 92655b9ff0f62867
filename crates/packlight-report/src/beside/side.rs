//! One of two studies that are laid side by side.

use std::path::{Path, PathBuf};

use packlight_record::Manifest;
use packlight_spec::written_settings;
use serde_json::{Map, Value, json};

use crate::format::list;
use crate::plan::PlanRow;
use crate::probed::MOST_STEPS;
use crate::sensitivity::Sensitivity;
use crate::study::Study;
use crate::tables::Tables;
use crate::{Error, Result, rows, sensitivity};

/// A study as it was found.
pub(super) struct Side {
    /// What it is called beside the other one: its folder, with the one above where both have the same name.
    pub(super) label: String,
    pub(super) title: String,
    pub(super) runs: Option<Runs>,
    pub(super) layers: Option<Sensitivity>,
    /// What determines its records, by the keys of `study.toml`.
    pub(super) settings: Value,
}

/// The runs of a study, evaluated.
pub(super) struct Runs {
    pub(super) study: Study,
    pub(super) plans: Vec<PlanRow>,
}

impl Side {
    /// Reads two studies.
    ///
    /// # Errors
    /// Returns an error if both are the same folder, or either cannot be read or has nothing in it.
    pub(super) fn both(first: &Path, second: &Path) -> Result<[Self; 2]> {
        let full = |path: &Path| path.canonicalize().map_err(|e| Error::io(path, e));
        let (a, b) = (full(first)?, full(second)?);
        if a == b {
            return Err(Error::SameStudy { study: first.into() });
        }
        let parts = (1..=a.components().count()).find(|n| tail(&a, *n) != tail(&b, *n));
        let [a, b] = [&a, &b].map(|path| tail(path, parts.unwrap_or(1)));
        let mut sides = [Self::read(first, a)?, Self::read(second, b)?];
        // Settings with defaults and facts would differ from those as they are written in every key.
        let ran = sides.iter().all(|side| side.runs.is_some());
        for (side, folder) in sides.iter_mut().zip([first, second]) {
            side.settings = settings(folder, side.runs.as_ref().filter(|_| ran))?;
        }
        Ok(sides)
    }

    fn read(folder: &Path, label: String) -> Result<Self> {
        let layers = Sensitivity::read(folder)?;
        let runs = match Study::read(folder, MOST_STEPS) {
            Ok(study) => {
                let plans = rows::rows(&study, &Tables::new(&study)?)?;
                Some(Runs { study, plans })
            }
            Err(Error::NoRuns { .. }) if layers.is_some() => None,
            Err(error @ Error::NoRuns { .. }) => return Err(sensitivity::nothing(folder, error)),
            Err(error) => return Err(error),
        };
        let title = match (&runs, &layers) {
            (Some(runs), _) => runs.study.title.clone(),
            (None, Some(layers)) => layers.title.clone(),
            (None, None) => label.clone(),
        };
        Ok(Self { label, title, runs, layers, settings: Value::Null })
    }

    /// Its plans, and the codecs that were measured at single layers, in a sentence.
    pub(super) fn contents(&self) -> String {
        let plans = self.runs.iter().flat_map(|runs| &runs.plans).map(|p| p.plan.name.clone());
        let codecs = self.layers.iter().flat_map(|layers| layers.codecs.clone());
        let said = |items: Vec<String>, none: &str, some: &str| match items.is_empty() {
            true => none.to_owned(),
            false => format!("{some} {}", list(&items)),
        };
        let plans = said(plans.collect(), "no runs", "the plans");
        format!(
            "{plans}, and {}",
            said(codecs.collect(), "no scores of single layers", "scores of")
        )
    }
}

/// The last `parts` of a path.
fn tail(path: &Path, parts: usize) -> String {
    let all: Vec<_> = path.components().collect();
    let last: PathBuf = all[all.len().saturating_sub(parts)..].iter().collect();
    last.display().to_string()
}

/// What `study.toml` says, except its names and plans, with what these runs were made from in its place: that
/// includes defaults and what the data were.
fn settings(folder: &Path, runs: Option<&Runs>) -> Result<Value> {
    let mut found = match written_settings(folder) {
        Ok(Some(Value::Object(written))) => written,
        Ok(_) => Map::new(),
        Err(error) => return Err(Error::Description(error)),
    };
    for key in ["name", "title", "plans"] {
        found.remove(key);
    }
    if let Some(run) = runs.and_then(|runs| runs.study.runs.first()) {
        found.extend(of_manifest(&run.manifest));
    }
    Ok(Value::Object(found))
}

/// The settings that all runs of a study share.
fn of_manifest(manifest: &Manifest) -> Map<String, Value> {
    let mut found = match &manifest.settings {
        Some(Value::Object(settings)) => settings.clone(),
        // Older runs tell these in words only.
        _ => Map::from_iter([
            ("model".to_owned(), json!(manifest.model)),
            ("data".to_owned(), json!(manifest.data)),
            ("batch".to_owned(), json!(manifest.batch)),
        ]),
    };
    let start = found.remove("from");
    for own in ["plan", "adaptive", "seed", "epochs"] {
        found.remove(own);
    }
    // The hash of the initial weights says more than their path.
    if let (None, Some(hash)) = (&manifest.from, start.filter(|start| !start.is_null())) {
        found.insert("weights".to_owned(), hash);
    }
    let facts = [
        ("data_hash", json!(manifest.data_hash)),
        ("training samples", json!(manifest.train_samples)),
        ("test samples", json!(manifest.test_samples)),
        ("parameters", json!(manifest.parameters)),
        ("version", json!(manifest.version)),
        ("processor", json!(manifest.cpu)),
        ("threads", json!(manifest.threads)),
    ];
    found.extend(facts.map(|(key, value)| (key.to_owned(), value)));
    found
}
