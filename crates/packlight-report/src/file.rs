//! Files that are there whole or not at all.

use std::path::Path;

use packlight_record::atomic_file;

use crate::{Error, Result};

/// Writes `contents` to `path`, in a folder that need not be there yet, so that a reader never sees
/// half of it.
pub(crate) fn write(path: &Path, contents: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    }
    Ok(atomic_file::write(path, contents)?)
}
