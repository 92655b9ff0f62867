//! Finding a set and loading it.

use std::path::{Path, PathBuf};

use super::{
    DataSet, DataSpec, Error, Result, SetName, cifar, digits, folder, idx, multi30k, reverse,
};

/// The data folder: `given` (as with `--data-dir`) or else the environment's `PACKLIGHT_DATA`.
pub fn data_dir(given: Option<PathBuf>) -> Option<PathBuf> {
    given.or_else(|| {
        std::env::var_os("PACKLIGHT_DATA").filter(|dir| !dir.is_empty()).map(PathBuf::from)
    })
}

/// Loads the set that `spec` asks for, all of it checked; of several the first whose folder is
/// there, which [`DataSet::name`] says, or else the last. `data_dir` is the folder that holds the
/// sets that are not built in; a `folder:PATH` that is relative starts there, or without it in the
/// working directory.
///
/// # Errors
/// If the set is not there, which says where it was looked for and what was there instead; if a
/// file is damaged; or if a setting does not fit the set.
pub fn load(spec: &DataSpec, data_dir: Option<&Path>) -> Result<DataSet> {
    spec.check()?;
    let names = spec.name.class_names();
    let set = match &spec.name {
        SetName::Digits => digits::load(names)?,
        SetName::Mnist | SetName::FashionMnist => idx::load(&find(&spec.name, data_dir)?, names)?,
        SetName::Cifar10 => cifar::load_10(&find(&spec.name, data_dir)?, names)?,
        SetName::Cifar100 => cifar::load_100(&find(&spec.name, data_dir)?, names)?,
        SetName::Folder(path) => folder::load(&in_data_dir(path, data_dir), spec)?,
        SetName::FirstOf(sets) => {
            return load(&DataSpec { name: first_of(sets, data_dir), ..spec.clone() }, data_dir);
        }
        SetName::Reverse => return Ok(reverse::set(spec)),
        SetName::Multi30k => return multi30k::load(&find(&spec.name, data_dir)?, spec),
    };
    DataSet::new(set, spec)
}

/// The first set that is there, or else the last, whose error says what is missing.
fn first_of(sets: &[SetName], data_dir: Option<&Path>) -> SetName {
    let there = |set: &&SetName| match set {
        SetName::Digits => true,
        SetName::Folder(path) => in_data_dir(path, data_dir).is_dir(),
        set => find(set, data_dir).is_ok(),
    };
    sets.iter().find(there).or(sets.last()).cloned().unwrap_or(SetName::Digits)
}

/// Where a folder of images is.
fn in_data_dir(path: &Path, data_dir: Option<&Path>) -> PathBuf {
    data_dir.map_or_else(|| path.to_path_buf(), |dir| dir.join(path))
}

/// The folder that holds a set.
fn find(name: &SetName, data_dir: Option<&Path>) -> Result<PathBuf> {
    let looked_for = name.folders().iter().map(|folder| format!("{folder}/")).collect::<Vec<_>>();
    let (set, looked_for) = (name.to_string(), looked_for.join(" or "));
    let Some(dir) = data_dir else { return Err(Error::NoDataDir { set, looked_for }) };
    let folders = name.folders().iter().map(|folder| dir.join(folder));
    match folders.into_iter().find(|folder| folder.is_dir()) {
        Some(folder) => Ok(folder),
        None => {
            let (dir, found) = (dir.to_path_buf(), contents(dir)?);
            Err(Error::NoSuchSet { set, dir, looked_for, found })
        }
    }
}

/// The folders that a folder holds, in words.
fn contents(dir: &Path) -> Result<String> {
    let io = |e| Error::io(dir, e);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(io)? {
        let entry = entry.map_err(io)?;
        if entry.path().is_dir() {
            names.push(format!("{}/", entry.file_name().to_string_lossy()));
        }
    }
    names.sort();
    Ok(if names.is_empty() { "no folder at all".into() } else { names.join(", ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(name: &str, dir: Option<&Path>) -> String {
        load(&DataSpec::new(name.parse().unwrap()), dir).unwrap_err().to_string()
    }

    #[test]
    fn a_missing_set_says_what_is_there_and_what_to_do() {
        let missing = error("cifar-10", None);
        assert!(missing.contains("PACKLIGHT_DATA or --data-dir"), "{missing}");
        let dir = tempfile::tempdir().unwrap();
        assert!(error("mnist", Some(dir.path())).contains("no folder at all found"));
        std::fs::create_dir(dir.path().join("pets")).unwrap();
        let missing = error("mnist", Some(dir.path()));
        assert!(missing.contains("mnist/ or MNIST/raw/ expected, pets/ found"), "{missing}");
        assert!(error("mnist", Some(&dir.path().join("gone"))).contains("gone: cannot be read"));
        assert!(error("folder:gone", Some(dir.path())).contains("size"));
    }

    #[test]
    fn of_several_sets_the_first_that_is_there_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let spec = DataSpec::new("cifar-10 or digits".parse().unwrap());
        assert_eq!(load(&spec, None).unwrap().name, SetName::Digits);
        assert_eq!(load(&spec, Some(dir.path())).unwrap().name, SetName::Digits);
        let set = dir.path().join("cifar-10");
        std::fs::create_dir(&set).unwrap();
        let damaged = load(&spec, Some(dir.path())).unwrap_err().to_string();
        assert!(
            damaged.contains("cifar-10"),
            "what is there and damaged is no reason to go on: {damaged}"
        );
        for file in ["data_batch_1.bin", "test_batch.bin"] {
            std::fs::write(set.join(file), cifar::tests::records(&[&[4]])).unwrap();
        }
        assert_eq!(load(&spec, Some(dir.path())).unwrap().name, SetName::Cifar10);
        let missing = error("mnist or cifar-100", Some(dir.path()));
        assert!(missing.contains("cifar-100"), "{missing}");
    }

    #[test]
    fn settings_are_checked_before_anything_is_read() {
        let spec = DataSpec { size: Some(0), ..DataSpec::new(SetName::Mnist) };
        assert!(load(&spec, None).unwrap_err().to_string().contains("`size`"));
    }

    #[test]
    fn colours_cannot_be_asked_away() {
        let dir = tempfile::tempdir().unwrap();
        let set = dir.path().join("cifar-10");
        std::fs::create_dir(&set).unwrap();
        for file in ["data_batch_1.bin", "test_batch.bin"] {
            std::fs::write(set.join(file), cifar::tests::records(&[&[4]])).unwrap();
        }
        let spec = DataSpec::new(SetName::Cifar10);
        assert_eq!(
            load(&spec, Some(dir.path())).unwrap().form.to_string(),
            "3 x 32 x 32, 10 classes"
        );
        let grey = DataSpec { channels: Some(1), ..spec };
        let error = load(&grey, Some(dir.path())).unwrap_err().to_string();
        assert!(error.contains("`channels`: 3, since cifar-10 has colours"), "{error}");
    }
}
