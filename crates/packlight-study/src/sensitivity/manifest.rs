//! What single layers were measured on.

use std::path::Path;

use packlight_record::atomic_file;
use packlight_record::layout::MANIFEST;
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
    pub(super) fn of(study: &Study, exact: &NamedPlan, data: &DataSet) -> Result<Self> {
        let mut settings = study.settings(exact, study.seeds[0])?;
        if let Value::Object(settings) = &mut settings {
            for irrelevant in ["plan", "seed", "probe"] {
                settings.remove(irrelevant);
            }
        }
        let (data_hash, version) = (data.checksum.clone(), VERSION.to_owned());
        Ok(Self { settings, data_hash, version })
    }

    /// Writes them to `folder`, unless the same stand there. `data` is the name of the data.
    ///
    /// # Errors
    /// Returns an error if others stand there, which says what changed, or if the file cannot be read or
    /// written.
    pub(super) fn require(&self, folder: &Path, data: &SetName) -> Result<()> {
        let path = folder.join(MANIFEST);
        let json = |source| packlight_record::Error::Json { path: path.clone(), source };
        let then: Self = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(json)?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let bytes = serde_json::to_vec_pretty(self).map_err(json)?;
                return Ok(atomic_file::write(&path, &bytes)?);
            }
            Err(e) => return Err(Error::io(&path, e)),
        };
        let changed =
            |what, how| Err(Error::MeasuredOtherwise { folder: folder.to_path_buf(), what, how });
        let differ = differences(&then.settings, &self.settings);
        if !differ.is_empty() {
            let how: Vec<String> = differ.iter().map(|d| d.in_words("then", "now")).collect();
            return changed("the study", how.join("; "));
        }
        if then.data_hash != self.data_hash {
            return changed("the data", other_data(data, &then.data_hash, &self.data_hash));
        }
        if then.version != self.version {
            let how = format!("{} then, {} now", then.version, self.version);
            return changed("the version of Packlight", how);
        }
        Ok(())
    }
}
