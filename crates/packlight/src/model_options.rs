//! Options that select a model: `--model NAME`, and a flag for each option of a model.

use clap::builder::ValueParser;
use clap::error::ErrorKind;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use packlight::nn::ModelSpec;
use packlight::nn::model::{Entry, find, models};
use toml::{Table, Value};

/// A model and its options.
///
/// There is a flag for each key of any model, so a new model adds its own.
pub(crate) struct ModelOptions {
    spec: ModelSpec,
}

impl ModelOptions {
    /// The model's description, without the sizes that depend on the data.
    pub(crate) fn spec(&self) -> &ModelSpec {
        &self.spec
    }
}

impl Args for ModelOptions {
    fn augment_args(command: Command) -> Command {
        with_flags(command, true)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ModelOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let spec = GivenModel::from_arg_matches(matches)?.spec;
        Ok(Self { spec: spec.ok_or_else(|| wrong("--model: the name of a model expected"))? })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// A model and its options, as far as they are given: a file of weights may know the rest.
pub(crate) struct GivenModel {
    spec: Option<ModelSpec>,
    options: Vec<(&'static str, String)>,
}

impl GivenModel {
    /// The model's description, if its name is given.
    pub(crate) fn spec(&self) -> Option<&ModelSpec> {
        self.spec.as_ref()
    }

    /// The first flag that says otherwise than `model`, and what `model` says.
    ///
    /// # Errors
    /// Returns an error if `model` has no such option, or its value is not valid.
    pub(crate) fn contradiction(
        &self,
        model: &ModelSpec,
    ) -> anyhow::Result<Option<(String, String)>> {
        if let Some(spec) = self.spec.as_ref().filter(|spec| spec.name() != model.name()) {
            return Ok(Some((
                format!("--model {}", spec.name()),
                format!("model {}", model.name()),
            )));
        }
        for (key, text) in &self.options {
            let Some(stored) = model.option(key) else {
                model.with(key, text.as_str())?; // the model refuses it by name
                continue;
            };
            let given = option_value(text, &stored)
                .map_err(|reason| anyhow::anyhow!("--{key} {text}: {reason}"))?;
            if given != stored {
                return Ok(Some((format!("--{key} {text}"), format!("{key} {}", shown(&stored)))));
            }
        }
        Ok(None)
    }
}

impl Args for GivenModel {
    fn augment_args(command: Command) -> Command {
        with_flags(command, false)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for GivenModel {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |key: &'static str| Some((key, matches.get_one::<String>(key)?.clone()));
        let options: Vec<_> = keys().into_iter().filter_map(given).collect();
        let entry: Option<&Entry> = matches.get_one("model");
        let spec = entry.map(|entry| described(entry, &options)).transpose()?;
        Ok(Self { spec, options })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn wrong(what: impl std::fmt::Display) -> clap::Error {
    clap::Error::raw(ErrorKind::ValueValidation, what.to_string())
}

/// The model with these options.
fn described(entry: &Entry, options: &[(&str, String)]) -> Result<ModelSpec, clap::Error> {
    let usual = entry.usual();
    let mut table = Table::new();
    for (key, text) in options {
        let value = match usual.value(key) {
            Some(usual) => option_value(text, &usual)
                .map_err(|reason| wrong(format!("--{key} {text}: {reason}")))?,
            None => Value::String(text.clone()), // the model refuses it by name
        };
        table.insert((*key).to_owned(), value);
    }
    ModelSpec::named(entry.name(), table).map_err(|fault| wrong(format!("model: {fault}")))
}

/// Adds `--model` and a flag for each option of a model.
fn with_flags(command: Command, required: bool) -> Command {
    let model = |name: &str| find(name).map_err(|fault| fault.reason);
    let names: Vec<&str> = models().iter().map(Entry::name).collect();
    let model = Arg::new("model")
        .long("model")
        .required(required)
        .value_name("NAME")
        .value_parser(ValueParser::new(model))
        .help(format!("The model: {}", names.join(", ")));
    keys().into_iter().fold(command.arg(model), |command, key| {
        let flag = Arg::new(key).long(key).value_name("VALUE").allow_negative_numbers(true);
        command.arg(flag.help(help(key)))
    })
}

/// The keys of all models, each once.
fn keys() -> Vec<&'static str> {
    let mut keys = Vec::new();
    for key in models().iter().flat_map(|entry| entry.usual().keys()) {
        if !keys.contains(&key.name) {
            keys.push(key.name);
        }
    }
    keys
}

/// The help of a key: what it is for, and its default for each model that has it.
fn help(key: &str) -> String {
    let mut lines: Vec<(&str, Vec<String>)> = Vec::new(); // the purpose, and the defaults
    for entry in models() {
        let usual = entry.usual();
        let Some(known) = usual.keys().iter().find(|known| known.name == key) else { continue };
        let Some(value) = usual.value(key) else { continue };
        let default = format!("{}: {}", entry.name(), shown(&value));
        let doc = known.doc.trim().trim_end_matches('.');
        match lines.iter_mut().find(|(known, _)| *known == doc) {
            Some((_, defaults)) => defaults.push(default),
            None => lines.push((doc, vec![default])),
        }
    }
    let lines: Vec<String> = lines
        .into_iter()
        .map(|(doc, defaults)| format!("{doc} [{}]", defaults.join(", ")))
        .collect();
    lines.join("; ")
}

/// A value of an option as a command line writes it.
fn shown(value: &Value) -> String {
    match value {
        Value::String(value) => value.clone(),
        value => value.to_string().replace(['[', ']', ' '], ""),
    }
}

/// A value of an option as a command line writes it: a list as `128,64`, all else as in TOML, where
/// strings need no quotes.
///
/// # Errors
/// Returns what was expected, if `text` is not a value such as `usual`.
fn option_value(text: &str, usual: &Value) -> Result<Value, String> {
    let number = |text: &str| text.parse().map_err(|_| "a whole number expected".to_owned());
    match usual {
        Value::Integer(_) => number(text).map(Value::Integer),
        Value::Float(_) => text.parse().map(Value::Float).map_err(|_| "a number expected".into()),
        Value::Boolean(_) => {
            text.parse().map(Value::Boolean).map_err(|_| "true or false expected".into())
        }
        Value::Array(_) => {
            let items = text.split(',').map(|item| number(item.trim()).map(Value::Integer));
            items.collect::<Result<_, _>>().map(Value::Array)
        }
        _ => Ok(Value::String(text.to_owned())),
    }
}
