//! Files of text, plain or compressed with gzip.

use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::{Error, Result};

/// Finds the file called `name`, plain or compressed.
pub(super) fn find(folder: &Path, name: &str) -> Result<PathBuf> {
    let candidates = [name.to_owned(), format!("{name}.gz")].map(|name| folder.join(name));
    candidates.into_iter().find(|path| path.is_file()).ok_or_else(|| {
        let expected = format!("the file {name} or {name}.gz");
        Error::corrupt(folder, expected, "neither", "put it there")
    })
}

/// The lines of the file at `path`.
pub(super) fn lines(path: &Path) -> Result<Vec<String>> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    parse(&bytes, path)
}

/// Splits a file's bytes into lines.
pub(super) fn parse(bytes: &[u8], path: &Path) -> Result<Vec<String>> {
    Ok(decoded(bytes, path)?.lines().map(str::to_owned).collect())
}

/// The text in a file's bytes, plain or compressed.
pub(super) fn decoded(bytes: &[u8], path: &Path) -> Result<String> {
    let mut text = String::new();
    let read = match bytes.starts_with(&[0x1f, 0x8b]) {
        true => MultiGzDecoder::new(bytes).read_to_string(&mut text),
        false => { bytes }.read_to_string(&mut text),
    };
    read.map_err(|e| Error::damaged(path, "whole UTF-8 text", format!("\"{e}\"")))?;
    Ok(text)
}
