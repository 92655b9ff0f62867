//! What single layers were measured on.

use std::path::Path;

use packlight_record::atomic_file;
use packlight_record::layout::{MANIFEST, SENSITIVITY};
use packlight_spec::{NamedPlan, differences};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::data::{DataSet, SetName};
use crate::run::VERSION;
use crate::spec::Study;
use crate::{Error, Result, other_data};

/// What determines the scores, beside the `[sensitivity]` table: it is written next to them, so that
/// scores under other conditions are not mixed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Conditions {
    /// The parts of the study that determine its exact training, by their keys.
    settings: Value,
    /// SHA-256 of the data as loaded.
    data_hash: String,
    /// The version of Packlight.
    version: String,
}

impl Conditions {
    /// The present ones.
    pub(super) fn of(study: &Study, data: &DataSet) -> Result<Self> {
        let (data_hash, version) = (data.checksum.clone(), VERSION.to_owned());
        Ok(Self { settings: settings(study)?, data_hash, version })
    }

    /// Those in `folder`; `None` if nothing was measured there.
    fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(MANIFEST);
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|source| packlight_record::Error::Json { path, source }.into()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io(&path, e)),
        }
    }

    /// Checks that `folder` has no others. `data` is the name of the data.
    ///
    /// # Errors
    /// Returns an error if others stand there, which says what changed, or if the file cannot be read.
    pub(super) fn check(&self, folder: &Path, data: &SetName) -> Result<()> {
        let Some(then) = Self::read(folder)? else { return Ok(()) };
        then.check_settings(folder, &self.settings)?;
        if then.data_hash != self.data_hash {
            let how = other_data(data, &then.data_hash, &self.data_hash);
            return changed(folder, "the data", how);
        }
        Ok(())
    }

    /// The same, and writes these where nothing was measured yet.
    ///
    /// # Errors
    /// Returns an error as [`Conditions::check`] does, or if the file cannot be written.
    pub(super) fn require(&self, folder: &Path, data: &SetName) -> Result<()> {
        self.check(folder, data)?;
        let path = folder.join(MANIFEST);
        if !path.exists() {
            let json = |source| packlight_record::Error::Json { path: path.clone(), source };
            let bytes = serde_json::to_vec_pretty(self).map_err(json)?;
            atomic_file::write(&path, &bytes)?;
        }
        Ok(())
    }

    /// Checks that these were measured with `settings` and by this version.
    fn check_settings(&self, folder: &Path, settings: &Value) -> Result<()> {
        let differ = differences(&self.settings, settings);
        if !differ.is_empty() {
            let how: Vec<String> = differ.iter().map(|d| d.in_words("then", "now")).collect();
            return changed(folder, "the study", how.join("; "));
        }
        if self.version != VERSION {
            let how = format!("{} then, {VERSION} now", self.version);
            return changed(folder, "the version of Packlight", how);
        }
        Ok(())
    }
}

/// The parts of a study that determine its exact training.
fn settings(study: &Study) -> Result<Value> {
    let mut settings = study.settings(&NamedPlan::unnamed("none"), study.seeds[0])?;
    if let Value::Object(settings) = &mut settings {
        for irrelevant in ["plan", "seed", "probe"] {
            settings.remove(irrelevant);
        }
    }
    Ok(settings)
}

fn changed(folder: &Path, what: &'static str, how: String) -> Result<()> {
    Err(Error::MeasuredOtherwise { folder: folder.to_path_buf(), what, how })
}

/// Checks that the study in `folder` is still the one whose single layers were measured; of the data only if they are
/// given.
///
/// # Errors
/// Returns [`Error::MeasuredOtherwise`] if it is not, or an error if a file cannot be read.
pub fn check_measured(folder: &Path, study: &Study, data: Option<&DataSet>) -> Result<()> {
    let home = folder.join(SENSITIVITY);
    if let Some(data) = data {
        return Conditions::of(study, data)?.check(&home, &data.name);
    }
    match Conditions::read(&home)? {
        Some(then) => then.check_settings(&home, &settings(study)?),
        None => Ok(()),
    }
}
