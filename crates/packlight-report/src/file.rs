//! Writing a file of the report.

use std::path::Path;

use packlight_record::atomic_file;

use crate::{Error, Result};

/// Writes `contents` to `path` atomically, creating the folder if it is missing.
pub(crate) fn write(path: &Path, contents: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    }
    Ok(atomic_file::write(path, contents)?)
}
