//! A file of weights that a study's runs start from.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::layout::STUDY;
use crate::{Error, Result};

/// A file, safetensors or a state dict of `torch.save`, with all parameters and running statistics of a
/// model, under PyTorch's names.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct Pretrained {
    /// The path of the file; relative to the study's folder until [`Pretrained::find`] resolves it.
    path: PathBuf,
    /// SHA-256 of its bytes.
    #[serde(skip)]
    hash: String,
}

impl Pretrained {
    /// Resolves the path relative to the study's folder and computes the file's hash.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read.
    pub(crate) fn find(&mut self, folder: &Path) -> Result<()> {
        self.path = folder.join(&self.path);
        let bytes = std::fs::read(&self.path).map_err(|e| {
            let reason = format!(
                "weights: {}: {e}; expected a safetensors file or a state dict of `torch.save`, its path relative to the study's folder",
                self.path.display()
            );
            Error::invalid(&folder.join(STUDY), reason)
        })?;
        self.hash = crate::study::hex(&Sha256::digest(bytes));
        Ok(())
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// SHA-256 of the file's bytes, in hexadecimal.
    pub(crate) fn hash(&self) -> &str {
        &self.hash
    }

    /// The file's name, for people.
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}
