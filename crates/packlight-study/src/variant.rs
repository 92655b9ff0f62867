//! A study like another one, with other plans.

use std::path::{Path, PathBuf};

use packlight_spec::OR;
use packlight_spec::layout::STUDY;
use toml::{Table, Value};

use crate::data::SetName;
use crate::{Error, Result};

/// The steps between two looks of the probe, for studies that have none.
const PROBED_EVERY: i64 = 20;

/// Writes the study `name` with these plans, given as (name, plan), into a folder of its name within
/// the folder of another study, and returns that folder. Everything else is the other study's, except
/// that it measures nothing of single layers, and that the probe also looks at whole gradients.
///
/// # Errors
/// Returns an error if the other study cannot be read or the file cannot be written.
pub fn write_variant(
    folder: &Path,
    name: &str,
    title: &str,
    plans: &[(String, String)],
) -> Result<PathBuf> {
    let path = folder.join(STUDY);
    let invalid = |reason: String| Error::Study { path: path.clone(), reason };
    let text = std::fs::read_to_string(&path)
        .map_err(|source| Error::Io { path: path.clone(), source })?;
    let mut study: Table = text.parse().map_err(|e: toml::de::Error| invalid(e.to_string()))?;
    study.remove("sensitivity");
    study.insert("name".into(), name.into());
    study.insert("title".into(), title.into());
    probe_whole_gradients(&mut study);
    lead_out_of(folder, &mut study).map_err(invalid)?;
    // By hand, because a table forgets the order of its keys, and that of plans counts.
    study.remove("plans");
    let mut text = toml::to_string(&study).map_err(|e| invalid(e.to_string()))?;
    text.push_str("\n[plans]\n");
    for (name, plan) in plans {
        text.push_str(&format!("{name} = {}\n", Value::from(plan.as_str())));
    }
    let own = folder.join(name);
    std::fs::create_dir_all(&own).map_err(|source| Error::Io { path: own.clone(), source })?;
    packlight_record::atomic_file::write(&own.join(STUDY), text.as_bytes())?;
    Ok(own)
}

/// Has the probe compare whole gradients.
fn probe_whole_gradients(study: &mut Table) {
    let probe = study.entry("probe").or_insert_with(|| Table::new().into());
    let Some(probe) = probe.as_table_mut() else { return };
    if !probe.contains_key("steps") {
        probe.entry("every").or_insert(PROBED_EVERY.into());
    }
    probe.insert("whole".into(), true.into());
}

/// Makes paths to what lies in the other study's folder lead there from a folder within it. Others are absolute,
/// or relative to the folder of the data sets.
fn lead_out_of(folder: &Path, study: &mut Table) -> std::result::Result<(), String> {
    let outwards = |path: &Path| match folder.join(path).exists() {
        true => Path::new("..").join(path), // an absolute path replaces what it is joined to
        false => path.to_path_buf(),
    };
    if let Some(Value::String(weights)) = study.get_mut("weights") {
        let files = weights.split(OR).map(|file| outwards(Path::new(file.trim())));
        let files: Vec<String> = files.map(|file| file.to_string_lossy().into_owned()).collect();
        *weights = files.join(OR);
    }
    let data = study.get_mut("data").and_then(Value::as_table_mut);
    if let Some(Value::String(name)) = data.and_then(|data| data.get_mut("name")) {
        let set: SetName = name.parse().map_err(|e: crate::data::Error| e.to_string())?;
        *name = set.map_paths(&outwards).to_string();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read_study;

    const TEXT: &str = r#"
name = "own"
title = "Its own"
seeds = [3]
epochs = 1
batch = 16

[model]
name = "mlp"
hidden = [8]

[data]
name = "digits"

[plans]
none = "none"
old = "linear=q1"

[optimizer]
name = "sgd"
learning_rate = 0.1

[sensitivity]
codecs = ["q2"]
"#;

    fn variant_of(text: &str) -> (tempfile::TempDir, crate::Study) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("pets")).unwrap();
        std::fs::write(dir.path().join("own.safetensors"), "weights").unwrap();
        std::fs::write(dir.path().join(STUDY), text).unwrap();
        let plans = [("none", "none"), ("b", "fc1=q2,fc2=q4"), ("a", "linear=q8")];
        let plans = plans.map(|(name, plan)| (name.to_owned(), plan.to_owned()));
        let folder = write_variant(dir.path(), "verify", "Verified", &plans).unwrap();
        assert_eq!(folder, dir.path().join("verify"));
        let study = read_study(&folder, None).unwrap();
        (dir, study)
    }

    #[test]
    fn only_plans_names_and_the_probe_differ() {
        let (dir, study) = variant_of(TEXT);
        let own = read_study(dir.path(), None).unwrap();
        assert_eq!((study.name.as_str(), study.title.as_str()), ("verify", "Verified"));
        let plans: Vec<&str> = study.plans.iter().map(|plan| plan.name.as_str()).collect();
        assert_eq!(plans, ["none", "b", "a"], "in the order in which they are given");
        assert_eq!(study.plans[1].spec, "fc1=q2,fc2=q4");
        assert_eq!(study.sensitivity, None);
        assert_eq!((study.probe.every, study.probe.whole), (Some(20), true));
        let same = crate::Study { probe: own.probe.clone(), ..study };
        let none = &own.plans[0];
        assert_eq!(same.settings(none, 3).unwrap(), own.settings(none, 3).unwrap());
    }

    #[test]
    fn a_probe_keeps_its_steps_and_its_draws() {
        let probed = format!("{TEXT}\n[probe]\nsteps = [1, 2]\nwhole = true\ndraws = 3\n");
        let (_dir, study) = variant_of(&probed);
        let probe = &study.probe;
        assert_eq!(
            (probe.steps.as_deref(), probe.every, probe.draws),
            (Some(&[1, 2][..]), None, 3)
        );
    }

    #[test]
    fn relative_paths_still_lead_to_the_same_files() {
        let folders = "folder:pets or folder:/data/pets or folder:elsewhere or digits";
        let text =
            TEXT.replace("name = \"digits\"", &format!("name = \"{folders}\"\nsize = 8")).replace(
                "batch = 16",
                "batch = 16\nweights = \"none.pth or own.safetensors or random\"",
            );
        let (dir, study) = variant_of(&text);
        assert_eq!(
            study.data.name.to_string(),
            "folder:../pets or folder:/data/pets or folder:elsewhere or digits"
        );
        let found = study.weights.unwrap().path().canonicalize().unwrap();
        assert_eq!(found, dir.path().join("own.safetensors").canonicalize().unwrap());
    }
}
