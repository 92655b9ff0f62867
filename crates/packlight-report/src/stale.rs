//! Writes a page in place of an earlier one, and removes files of the earlier report that the new one does
//! not write: figures and tables of plans that are gone.
//!
//! A page links to every file that was written with it. The links of the old page therefore tell
//! which files belong to the report; no other file is touched.

use std::collections::BTreeSet;
use std::path::Path;

use crate::{Error, Result, file};

/// The figures, their data and the tables that a page links to, relative to its folder.
pub(crate) fn links(page: &str) -> BTreeSet<String> {
    let targets = page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    targets.filter(|target| is_own(target)).map(str::to_owned).collect()
}

/// Whether a link is to a report's own file: a plain name in one of its two folders.
fn is_own(target: &str) -> bool {
    let name = target.strip_prefix("figures/").or_else(|| target.strip_prefix("tables/"));
    let stem = name.and_then(|n| n.strip_suffix(".svg").or_else(|| n.strip_suffix(".csv")));
    stem.is_some_and(|stem| stem.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'))
}

/// Writes the page `html` to `path`, and removes the files that the page there linked to and this one does
/// not.
///
/// # Errors
/// Returns an error if the page cannot be written, or such a file exists and cannot be removed.
pub(crate) fn replace(path: &Path, html: &str) -> Result<()> {
    let old = std::fs::read_to_string(path).unwrap_or_default(); // there may be none
    file::write(path, html.as_bytes())?;
    for target in links(&old).difference(&links(html)) {
        let path = path.with_file_name(target);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Error::io(&path, e)),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_a_report_s_own_folders_are_its_own() {
        let page = r##"<a href="#layers">, <a href="figures/cosine-pool2.svg">, <a href="tables/peaks.csv">,
            <a href="figures/../runs.csv">, <a href="figures/deep/er.svg">, <a href="study.toml">,
            <a href="figures/notes.txt">, <a href="/figures/x.svg">"##;
        let found: Vec<String> = links(page).into_iter().collect();
        assert_eq!(found, ["figures/cosine-pool2.svg", "tables/peaks.csv"]);
    }
}
