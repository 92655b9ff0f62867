//! What the weights of a run are, as their file says itself.

use std::path::Path;

use packlight_nn::weights::File;
use packlight_nn::{Model, ModelSpec};
use packlight_spec::NamedPlan;
use serde::{Deserialize, Serialize};

use crate::data::{Augment, DataSet, DataSpec, Form};
use crate::run::VERSION;
use crate::spec::Study;
use crate::{Error, Result};

/// What a run's weights are: enough to make their model and to load their data again. It is stored,
/// as JSON, in the metadata of the file of weights.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Origin {
    /// The model, with all its options and sizes.
    pub model: ModelSpec,
    /// The plan that they were trained with; the last allocation of an adaptive one.
    pub plan: String,
    /// The data that they were trained on, without augmentation and with the normalisation in numbers.
    pub data: DataSpec,
    /// SHA-256 of these data, as in [`DataSet::checksum`].
    pub data_hash: String,
    /// The seed.
    pub seed: u64,
    /// The number of epochs.
    pub epochs: u64,
    /// The version of Packlight.
    pub version: String,
}

impl Origin {
    /// What the weights of `model` are when a run of a plan in `study` has ended, whose codecs were those of
    /// `last` then.
    pub(crate) fn of(
        model: &Model,
        (plan, last): (&NamedPlan, &str),
        study: &Study,
        data: &DataSet,
        seed: u64,
    ) -> Self {
        let normalise = match &data.form {
            Form::Images { normalise, .. } => Some(normalise.clone()),
            Form::Pairs { .. } | Form::Text { .. } | Form::Labelled { .. } => None,
        };
        Self {
            model: model.spec().complete(),
            plan: last.to_owned(),
            data: DataSpec {
                name: data.name.clone(),
                normalise,
                augment: Augment::default(),
                ..study.data.clone()
            },
            data_hash: data.checksum.clone(),
            seed,
            epochs: study.epochs_of(plan),
            version: VERSION.to_owned(),
        }
    }

    /// Writes the weights of `model` to `path`, with this in the file's metadata.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub(crate) fn save(&self, model: &Model, path: &Path) -> Result<()> {
        let json = serde_json::to_string(self).map_err(|e| Self::unreadable(path, &e))?;
        Ok(model.parameters().save_with(path, json)?)
    }

    /// What `file` says that its weights are; `None` if another program wrote it.
    ///
    /// # Errors
    /// Returns an error if that cannot be read, as when the model is not known here.
    pub fn read(file: &File) -> Result<Option<Self>> {
        let origin = file.origin().map(serde_json::from_str).transpose();
        origin.map_err(|e| Self::unreadable(Path::new(file.name()), &e))
    }

    fn unreadable(path: &Path, error: &serde_json::Error) -> Error {
        Error::Origin { path: path.to_path_buf(), reason: error.to_string() }
    }
}
