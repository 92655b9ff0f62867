//! Finds a set and loads it.

use std::path::{Path, PathBuf};

use super::{
    DataSet, DataSpec, Error, Result, SetName, cifar, digits, folder, idx, labelled, multi30k,
    reverse, text,
};

/// The data folder: `given` (from `--data-dir`), or else the environment variable `PACKLIGHT_DATA`.
pub fn data_dir(given: Option<PathBuf>) -> Option<PathBuf> {
    given.or_else(|| {
        std::env::var_os("PACKLIGHT_DATA").filter(|dir| !dir.is_empty()).map(PathBuf::from)
    })
}

/// Loads and checks the set that `spec` asks for. Of several alternatives, it loads the one that
/// [`choose`] returns, and [`DataSet::name`] says which. `data_dir` is the folder with the sets
/// that are not built in. The path of a `folder:PATH`, `text:PATH` or `labelled:PATH` is relative to
/// [`DataSpec::base`]; what is not there may be in `data_dir`.
///
/// # Errors
/// Returns an error if the set is not found, which says where it was looked for and what was there
/// instead; if a file is damaged; or if a setting does not fit the set.
pub fn load(spec: &DataSpec, data_dir: Option<&Path>) -> Result<DataSet> {
    spec.check()?;
    let names = spec.name.class_names();
    let set = match &spec.name {
        SetName::Digits => digits::load(names)?,
        SetName::Mnist | SetName::FashionMnist => idx::load(&find(&spec.name, data_dir)?, names)?,
        SetName::Cifar10 => cifar::load_10(&find(&spec.name, data_dir)?, names)?,
        SetName::Cifar100 => cifar::load_100(&find(&spec.name, data_dir)?, names)?,
        SetName::Folder(path) => folder::load(&located(path, spec, data_dir), spec)?,
        SetName::Text(path) => return text::load(&located(path, spec, data_dir), spec),
        SetName::Labelled(path) => return labelled::load(&located(path, spec, data_dir), spec),
        SetName::TinyShakespeare => {
            return text::load(&find(&spec.name, data_dir)?.join("input.txt"), spec);
        }
        SetName::FirstOf(_) => {
            let name = choose(spec, data_dir)?;
            return load(&DataSpec { name, ..spec.clone() }, data_dir);
        }
        SetName::Reverse => return Ok(reverse::set(spec)),
        SetName::Multi30k => return multi30k::load(&find(&spec.name, data_dir)?, spec),
    };
    DataSet::new(set, spec)
}

/// The set itself, or the first of several alternatives that exists, even if it is damaged: a set
/// that is built in always exists, and any other exists if there is a folder of its name, or the file of
/// a text.
/// `data_dir` is as for [`load`].
///
/// # Errors
/// Returns an error if none of several exists, which says where each was looked for.
pub fn choose(spec: &DataSpec, data_dir: Option<&Path>) -> Result<SetName> {
    let SetName::FirstOf(sets) = &spec.name else { return Ok(spec.name.clone()) };
    let there = |set: &&SetName| match set {
        SetName::Folder(path) | SetName::Labelled(path) => located(path, spec, data_dir).is_dir(),
        SetName::Text(path) => located(path, spec, data_dir).is_file(),
        set => {
            let within = |folder: &&str| data_dir.is_some_and(|dir| dir.join(folder).is_dir());
            set.is_built_in() || set.folders().iter().any(within)
        }
    };
    match sets.iter().find(there) {
        Some(set) => Ok(set.clone()),
        None => Err(missing(&spec.name, data_dir)),
    }
}

/// A path that a study names, which is relative to the study's folder or, if nothing is there, may be
/// relative to the data folder.
fn located(path: &Path, spec: &DataSpec, data_dir: Option<&Path>) -> PathBuf {
    let own = spec.base.join(path);
    let in_data_dir = || data_dir.map(|dir| dir.join(path)).filter(|path| path.exists());
    if own.exists() { own } else { in_data_dir().unwrap_or(own) }
}

/// Finds the folder with a set's files.
fn find(name: &SetName, data_dir: Option<&Path>) -> Result<PathBuf> {
    let folders =
        data_dir.into_iter().flat_map(|dir| name.folders().iter().map(move |f| dir.join(f)));
    folders.into_iter().find(|f| holds(f, name)).ok_or_else(|| missing(name, data_dir))
}

/// Whether `folder` has the file that identifies a set.
fn holds(folder: &Path, name: &SetName) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let begins = |file: &str| file.starts_with(name.begins_with());
    entries.into_iter().any(|entry| entry.file_name().to_str().is_some_and(begins))
}

/// The error that says where a set, or each of several, was looked for.
fn missing(name: &SetName, data_dir: Option<&Path>) -> Error {
    let (set, looked_for) = (name.to_string(), looked_for(name));
    let Some(dir) = data_dir else { return Error::NoDataDir { set, looked_for } };
    match contents(dir) {
        Ok(found) => Error::NoSuchSet { set, dir: dir.to_path_buf(), looked_for, found },
        Err(error) => error,
    }
}

/// The files that identify a set and the folders that may hold them, in words.
fn looked_for(name: &SetName) -> String {
    match name {
        SetName::FirstOf(sets) => sets.iter().map(looked_for).collect::<Vec<_>>().join("; or "),
        SetName::Folder(path) | SetName::Labelled(path) => {
            format!("{}/ (there or in the study's folder)", path.display())
        }
        SetName::Text(path) => format!("{} (there or in the study's folder)", path.display()),
        name => {
            let folders: Vec<_> = name.folders().iter().map(|f| format!("{f}/")).collect();
            let form = match name {
                SetName::Cifar10 | SetName::Cifar100 => " (the binary version, not Python's)",
                _ => "",
            };
            format!("{}* in {}{form}", name.begins_with(), folders.join(" or "))
        }
    }
}

/// The folders within a folder, in words.
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
        let looked = "train-images* in mnist/ or mnist/MNIST/raw/ or MNIST/raw/ expected";
        assert!(missing.contains(&format!("{looked}, pets/ found")), "{missing}");
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
        let missing = error("mnist or folder:a or cifar-100", Some(dir.path()));
        for word in ["train-images* in mnist/", "or a/ (", "train.bin* in cifar-100/"] {
            assert!(missing.contains(word), "{missing}");
        }
        assert!(error("mnist or cifar-100", None).contains("PACKLIGHT_DATA"));
    }

    #[test]
    fn a_folder_of_images_is_in_the_study_s_folder_or_else_in_the_data_folder() {
        let (study, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let base = study.path().to_path_buf();
        let spec = DataSpec { base, ..DataSpec::new("folder:pets or digits".parse().unwrap()) };
        let found = || located(Path::new("pets"), &spec, Some(data.path()));
        let chosen = || choose(&spec, Some(data.path())).unwrap().to_string();
        assert_eq!((found(), chosen()), (study.path().join("pets"), "digits".into()));
        std::fs::create_dir(data.path().join("pets")).unwrap();
        assert_eq!((found(), chosen()), (data.path().join("pets"), "folder:pets".into()));
        std::fs::create_dir(study.path().join("pets")).unwrap();
        assert_eq!((found(), chosen()), (study.path().join("pets"), "folder:pets".into()));
    }

    #[test]
    fn every_kind_of_set_can_be_chosen() {
        let dir = tempfile::tempdir().unwrap();
        let chosen = |text: &str, dir: Option<&Path>| {
            choose(&DataSpec::new(text.parse().unwrap()), dir).unwrap().to_string()
        };
        for dir in [None, Some(dir.path())] {
            assert_eq!(chosen("reverse or digits", dir), "reverse");
            assert_eq!(chosen("folder:pets or digits", dir), "digits");
            assert_eq!(chosen("multi30k or reverse", dir), "reverse");
        }
        let reverse = DataSpec::new("reverse or digits".parse().unwrap());
        assert_eq!(load(&reverse, None).unwrap().name, SetName::Reverse);
        std::fs::create_dir(dir.path().join("pets")).unwrap();
        assert_eq!(chosen("folder:pets or digits", Some(dir.path())), "folder:pets");
        assert_eq!(chosen("mnist or folder:pets or digits", Some(dir.path())), "folder:pets");
    }

    #[test]
    fn sets_are_found_where_torchvision_and_archives_put_them() {
        let (images, labels) = (idx::tests::idx(&[1, 1, 1], &[9]), idx::tests::idx(&[1], &[3]));
        let batch = cifar::tests::records(&[&[4]]);
        let fine = cifar::tests::records(&[&[4, 4]]);
        let mnist: &[(&str, &[u8])] = &[
            ("train-images-idx3-ubyte", &images),
            ("train-labels-idx1-ubyte", &labels),
            ("t10k-images-idx3-ubyte", &images),
            ("t10k-labels-idx1-ubyte", &labels),
        ];
        let cifar_10: &[(&str, &[u8])] =
            &[("data_batch_1.bin", &batch), ("test_batch.bin", &batch)];
        let cifar_100: &[(&str, &[u8])] = &[("train.bin", &fine), ("test.bin", &fine)];
        for (set, own, theirs, files) in [
            ("mnist", "mnist", "MNIST/raw", mnist),
            ("fashion-mnist", "fashion-mnist", "FashionMNIST/raw", mnist),
            ("cifar-10", "cifar-10", "cifar-10-batches-bin", cifar_10),
            ("cifar-100", "cifar-100", "cifar-100-binary", cifar_100),
        ] {
            for folder in [own.to_owned(), theirs.to_owned(), format!("{own}/{theirs}")] {
                let dir = tempfile::tempdir().unwrap();
                std::fs::create_dir_all(dir.path().join(&folder)).unwrap();
                for (name, bytes) in files {
                    std::fs::write(dir.path().join(&folder).join(name), bytes).unwrap();
                }
                let spec = DataSpec::new(set.parse().unwrap());
                let found = load(&spec, Some(dir.path()));
                assert_eq!(found.unwrap().train.len(), 1, "{set} in {folder}");
            }
        }
    }

    #[test]
    fn python_s_pickles_are_said_not_to_be_read() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("cifar-10/cifar-10-batches-py")).unwrap();
        let missing = error("cifar-10", Some(dir.path()));
        assert!(missing.contains("the binary version"), "{missing}");
    }

    #[test]
    fn settings_are_checked_before_anything_is_read() {
        let spec = DataSpec { size: Some(0), ..DataSpec::new(SetName::Mnist) };
        assert!(load(&spec, None).unwrap_err().to_string().contains("data.size: "));
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
        assert!(
            error.contains("data.channels: 1 given, expected 3, since cifar-10 has colours"),
            "{error}"
        );
    }
}
