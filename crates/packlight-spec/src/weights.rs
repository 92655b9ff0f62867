//! A file of weights that a study's runs start from.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::layout::STUDY;
use crate::{Error, Result};

/// What stands between alternatives, as between those of a data set.
pub const OR: &str = " or ";
/// The alternative that is no file: weights drawn at random.
const RANDOM: &str = "random";

/// A file, safetensors or a state dict of `torch.save`, with all parameters and running statistics of a
/// model, under PyTorch's names.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct Pretrained {
    /// The path of the file; as it was written, until [`Pretrained::find`] resolves it.
    path: PathBuf,
    /// SHA-256 of its bytes.
    #[serde(skip)]
    hash: String,
}

impl Pretrained {
    /// Finds the file and computes its hash. A path is relative to the study's folder or, if nothing is there,
    /// to `data_dir`, the folder with the data sets. Of several, `A or B`, the first that exists counts; `None` if that is `random`.
    ///
    /// # Errors
    /// Returns an error if no file is there, or if it cannot be read.
    pub(crate) fn find(&self, folder: &Path, data_dir: Option<&Path>) -> Result<Option<Self>> {
        let text = self.path.to_string_lossy();
        let alternatives = || text.split(OR).map(str::trim);
        let own = |name: &str| folder.join(name);
        let located = |name: &str| {
            let in_data_dir = data_dir.map(|dir| dir.join(name));
            [Some(own(name)), in_data_dir].into_iter().flatten().find(|path| path.exists())
        };
        let found = alternatives().find_map(|name| match name {
            RANDOM => Some(None),
            name => located(name).map(Some),
        });
        let path = match found {
            Some(None) => return Ok(None),
            Some(Some(path)) => path,
            None => own(alternatives().next().unwrap_or_default()), // reading it tells what is wrong
        };
        let bytes = std::fs::read(&path).map_err(|e| {
            let reason = format!(
                "weights: {}: {e}; expected a safetensors file or a state dict of `torch.save`, its path \
                 relative to the study's folder or to that of the data sets (--data-dir or PACKLIGHT_DATA); \
                 ` or random` behind it draws them where there is no such file",
                path.display()
            );
            Error::invalid(&folder.join(STUDY), reason)
        })?;
        let hash = crate::study::hex(&Sha256::digest(bytes));
        Ok(Some(Self { path, hash }))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn find(text: &str, folder: &Path, data_dir: &Path) -> Result<Option<PathBuf>> {
        let written = Pretrained { path: text.into(), hash: String::new() };
        let found = written.find(folder, Some(data_dir))?;
        Ok(found.map(|found| {
            assert_eq!(found.hash.len(), 64);
            found.path
        }))
    }

    #[test]
    fn the_first_file_that_exists_counts_and_the_studys_own_before_others() {
        let (study, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (own, other) = (study.path().join("own.pth"), data.path().join("other.pth"));
        std::fs::write(&own, "own").unwrap();
        std::fs::write(&other, "other").unwrap();
        let both = data.path().join("own.pth");
        std::fs::write(&both, "both").unwrap();
        let find = |text: &str| find(text, study.path(), data.path()).unwrap();
        assert_eq!(find("own.pth"), Some(own.clone()));
        assert_eq!(find("none.pth or other.pth or own.pth"), Some(other.clone()));
        assert_eq!(find(&format!("{} or random", both.display())), Some(both));
        assert_eq!(find("none.pth or random or own.pth"), None);
        assert_eq!(find("random"), None);
    }

    #[test]
    fn a_file_that_is_nowhere_is_named() {
        let (study, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let error =
            find("none.pth or also.pth", study.path(), data.path()).unwrap_err().to_string();
        assert!(error.contains("none.pth: No such file") && error.contains("or random"), "{error}");
    }
}
