//! Writing a file of the report.

use std::path::Path;

use packlight_record::atomic_file;

use crate::{Error, Result};

/// Writes `contents` to `path` atomically, creating the folder if it is missing.
pub(crate) fn write(path: &Path, contents: &[u8]) -> Result<()> {
    write_parts(path, |write| Ok(write(contents)?))
}

/// What a file is handed over to in parts.
pub(crate) type Write<'a> = dyn FnMut(&[u8]) -> packlight_record::Result<()> + 'a;

/// The same with contents that `fill` hands over part by part.
pub(crate) fn write_parts(
    path: &Path,
    fill: impl FnOnce(&mut Write<'_>) -> Result<()>,
) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    }
    atomic_file::write_parts(path, |write| fill(write))
}
