//! The folder that `run` and `report` are given.

use std::path::{Path, PathBuf};

use anyhow::bail;
use packlight::record::layout::STUDY;
use packlight::spec::{nearest, studies_in};

/// Checks that `dir` is a folder that holds one of `names`.
///
/// # Errors
/// Returns an error that says what `dir` is instead, and how to give `command` the folder that was
/// probably meant.
pub(crate) fn check(dir: &Path, command: &str, names: &[&str]) -> anyhow::Result<()> {
    let holds = |name: &&str| dir.join(name).try_exists().unwrap_or(true); // reading it will tell
    if dir.is_file() {
        bail!("{} is a file; give {}", dir.display(), meant(dir, command));
    }
    if !dir.exists() {
        bail!("{}: there is no such folder; give {}", dir.display(), meant(dir, command));
    }
    if !names.iter().any(holds) {
        let given = meant(dir, command);
        bail!("{} holds no {}; give {given}", dir.display(), names.join(" and no "));
    }
    Ok(())
}

/// The folder that was probably meant: the study that `dir` lies in, or those in it or beside it.
fn meant(dir: &Path, command: &str) -> String {
    let within = |folder: &Path| {
        studies_in(folder).into_iter().map(|name| folder.join(name)).collect::<Vec<PathBuf>>()
    };
    let around = dir.ancestors().skip(1).find(|folder| folder.join(STUDY).is_file());
    if let Some(study) = around {
        return format!("its folder: packlight {command} {}", shown(study));
    }
    let inside = within(dir);
    if !inside.is_empty() {
        let inside: Vec<String> = inside.iter().map(|study| shown(study)).collect();
        return format!("the folder of a study, such as {}", inside.join(", "));
    }
    let beside = dir.parent().map(within).unwrap_or_default();
    let beside: Vec<String> = beside.iter().map(|study| shown(study)).collect();
    match nearest(&dir.display().to_string(), beside.iter().map(String::as_str)) {
        Some(near) => format!("the folder of a study: packlight {command} {near}"),
        None => format!("the folder of a study, the one with its {STUDY}"),
    }
}

/// A path as a command line may have it.
fn shown(path: &Path) -> String {
    match path.as_os_str().is_empty() {
        true => ".".to_owned(),
        false => path.display().to_string(),
    }
}
