//! What determines the records of a run, and what has changed in it since.

use std::fmt;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::layout::STUDY;
use crate::study::hex;
use crate::{
    Adaptation, Error, NamedPlan, OptimizerSpec, Precision, ProbeSpec, Result, Schedule, Study,
};

/// Everything that determines the records of a run: everything in a study except its name and title,
/// the threads and the device, and the other plans and seeds.
#[derive(Serialize)]
struct Settings<'a, Model, Data> {
    plan: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    adaptive: Option<Adaptation>,
    seed: u64,
    epochs: u64,
    /// The hash of the run or of the file whose weights it starts from.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    batch: usize,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    drop_last: bool,
    #[serde(skip_serializing_if = "Precision::is_usual")]
    precision: Precision,
    model: &'a Model,
    data: &'a Data,
    optimizer: &'a OptimizerSpec,
    schedule: &'a Schedule,
    probe: &'a ProbeSpec,
}

impl<Model: Serialize, Data: Serialize> Study<Model, Data> {
    /// Everything that determines the records of a run, by the keys of `study.toml`: everything except
    /// the study's name and title, the threads and the device, and the other plans and seeds.
    ///
    /// # Errors
    /// Returns an error if the model or the data cannot be written as JSON.
    pub fn settings(&self, plan: &NamedPlan, seed: u64) -> Result<Value> {
        // By way of the text, in which 0.1 of f32 is 0.1.
        let settings = serde_json::from_str(&self.settings_text(plan, seed)?);
        settings.map_err(|e| Error::invalid(Path::new(STUDY), e))
    }

    /// SHA-256, in hexadecimal, of a run's [`Study::settings`].
    ///
    /// # Errors
    /// Returns an error if the model or the data cannot be written as JSON.
    pub fn hash(&self, plan: &NamedPlan, seed: u64) -> Result<String> {
        Ok(hex(&Sha256::digest(self.settings_text(plan, seed)?)))
    }

    fn settings_text(&self, plan: &NamedPlan, seed: u64) -> Result<String> {
        let settings = Settings {
            plan: &plan.spec,
            adaptive: self
                .adaptation_of(plan)
                .map_err(|fault| Error::invalid(Path::new(STUDY), fault))?,
            seed,
            epochs: self.epochs_of(plan),
            from: match self.source_of(plan) {
                Some(source) => Some(self.hash(source, seed)?),
                None => self.weights.as_ref().map(|weights| weights.hash().to_owned()),
            },
            batch: self.batch,
            drop_last: self.drop_last,
            precision: self.precision,
            model: &self.model,
            data: &self.data,
            optimizer: &self.optimizer,
            schedule: &self.schedule,
            probe: &self.probe,
        };
        serde_json::to_string(&settings).map_err(|e| Error::invalid(Path::new(STUDY), e))
    }
}

/// What `study.toml` in `folder` says, as it is written there, without defaults; `None` if there is none.
///
/// # Errors
/// Returns an error if the file cannot be read or is not TOML.
pub fn written_settings(folder: &Path) -> Result<Option<Value>> {
    let path = folder.join(STUDY);
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let value = toml::from_str(&text);
            value.map(Some).map_err(|e| Error::invalid(&path, e.message()))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io(&path, e)),
    }
}

/// A key whose values differ between two descriptions.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The key, such as `optimizer.learning_rate`.
    pub key: String,
    /// Its value in the first description; null if it is not given there.
    pub first: Value,
    /// Its value in the second one.
    pub second: Value,
}

impl Difference {
    /// The difference in words, with `first` and `second` behind the values: `batch: 32 then, 64 now`.
    pub fn in_words(&self, first: &str, second: &str) -> String {
        format!("{}: {} {first}, {} {second}", self.key, Given(&self.first), Given(&self.second))
    }
}

/// A value as a message writes it.
pub struct Given<'a>(pub &'a Value);

impl fmt::Display for Given<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Null => f.write_str("not given"),
            Value::String(text) => f.write_str(text),
            value => value.fmt(f),
        }
    }
}

/// The keys whose values differ, sorted. Of two tables of different `name`, such as those of two optimizers,
/// only the name counts, since other keys differ with it.
pub fn differences(first: &Value, second: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare("", first, second, &mut found);
    found
}

fn compare(key: &str, first: &Value, second: &Value, found: &mut Vec<Difference>) {
    let (Value::Object(a), Value::Object(b)) = (first, second) else {
        if first != second {
            found.push(Difference {
                key: key.into(),
                first: first.clone(),
                second: second.clone(),
            });
        }
        return;
    };
    let mut keys: Vec<&String> = a.keys().chain(b.keys().filter(|k| !a.contains_key(*k))).collect();
    keys.sort();
    if a.get("name") != b.get("name") {
        keys.retain(|key| *key == "name");
    }
    for name in keys {
        let inner = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
        let value = |table: &serde_json::Map<String, Value>| table.get(name).cloned();
        let (first, second) = (value(a).unwrap_or_default(), value(b).unwrap_or_default());
        compare(&inner, &first, &second, found);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(first: &Value, second: &Value) -> Vec<String> {
        differences(first, second).iter().map(|d| d.in_words("then", "now")).collect()
    }

    #[test]
    fn each_key_that_differs_is_named_with_both_values() {
        let first = json!({ "batch": 8, "data": { "name": "digits", "size": 16 }, "seeds": [1] });
        let second = json!({ "batch": 9, "data": { "name": "digits" }, "seeds": [1, 2] });
        let expected = [
            "batch: 8 then, 9 now",
            "data.size: 16 then, not given now",
            "seeds: [1] then, [1,2] now",
        ];
        assert_eq!(said(&first, &second), expected);
        assert!(differences(&first, &first).is_empty());
    }

    #[test]
    fn a_file_is_read_as_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(written_settings(folder.path()).unwrap(), None);
        let path = folder.path().join(STUDY);
        std::fs::write(&path, "batch = 8\n[optimizer]\nname = 'sgd'").unwrap();
        let expected = json!({ "batch": 8, "optimizer": { "name": "sgd" } });
        assert_eq!(written_settings(folder.path()).unwrap(), Some(expected));
        std::fs::write(&path, "batch =").unwrap();
        let error = written_settings(folder.path()).unwrap_err().to_string();
        assert!(error.contains("study.toml"), "{error}");
    }

    #[test]
    fn of_tables_of_different_names_only_the_name_counts() {
        let first = json!({ "optimizer": { "name": "sgd", "momentum": 0.9 } });
        let second = json!({ "optimizer": { "name": "adamw", "beta1": 0.9 } });
        assert_eq!(said(&first, &second), ["optimizer.name: sgd then, adamw now"]);
    }
}
