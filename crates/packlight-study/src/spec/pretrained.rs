//! A file of weights that a study's runs start from.

use std::path::{Path, PathBuf};

use packlight_record::layout::STUDY;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// A safetensors file with all of a model's parameters and running statistics, by PyTorch's names.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct Pretrained {
    /// Where it is; as the study writes it, from the study's folder on.
    path: PathBuf,
    /// SHA-256 of its bytes.
    #[serde(skip)]
    hash: String,
}

impl Pretrained {
    /// Finds the file from the study's folder and takes its hash.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn find(&mut self, folder: &Path) -> Result<()> {
        self.path = folder.join(&self.path);
        let bytes = std::fs::read(&self.path).map_err(|e| Error::Study {
            path: folder.join(STUDY),
            reason: format!(
                "weights: {}: {e}; expected a safetensors file, its path from the study's folder on",
                self.path.display()
            ),
        })?;
        self.hash = crate::hex(&Sha256::digest(bytes));
        Ok(())
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// SHA-256 of the file's bytes.
    pub(super) fn hash(&self) -> &str {
        &self.hash
    }

    /// The file's name, as people are told it.
    pub(crate) fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}
