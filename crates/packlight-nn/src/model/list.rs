//! The models by name.

use std::sync::{PoisonError, RwLock};

use packlight_spec::{Fault, did_you_mean, suggestion};
use toml::Table;

use super::{Architecture, Key, MODELS};
use crate::{Error, Result};

/// The models that were registered.
static REGISTERED: RwLock<Vec<Entry>> = RwLock::new(Vec::new());

/// A model in the list of models.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    usual: fn() -> Box<dyn Architecture>,
}

impl Entry {
    /// The entry of an architecture.
    pub const fn of<A: Architecture + Default + 'static>() -> Self {
        Self { usual: || Box::new(A::default()) }
    }

    /// The model with all options at their defaults.
    pub fn usual(&self) -> Box<dyn Architecture> {
        (self.usual)()
    }

    /// The model's name.
    pub fn name(&self) -> &'static str {
        self.usual().name()
    }

    /// The model with these options, and the others at their defaults.
    ///
    /// # Errors
    /// Returns a fault if the model has no such option (the nearest that it has is suggested), or an
    /// option has an invalid value.
    pub(super) fn with(&self, options: &Table) -> Result<Box<dyn Architecture>, Fault> {
        let mut model = self.usual();
        for (key, value) in options {
            if !model.keys().iter().any(|known| known.name == key) {
                return Err(no_such_option(key, model.name(), model.keys()));
            }
            model.set(key, value.clone()).map_err(|e| Fault::new(key, in_one_line(&e)))?;
        }
        model.check()?;
        Ok(model)
    }
}

/// What is wrong with a value, and the value that was probably meant.
fn in_one_line(error: &toml::de::Error) -> String {
    let message = error.message().trim_end();
    match suggestion(message) {
        Some(meant) => format!("{message}; did you mean `{meant}`?"),
        None => message.to_owned(),
    }
}

fn no_such_option(key: &str, model: &str, keys: &[Key]) -> Fault {
    let names: Vec<&str> = keys.iter().map(|key| key.name).collect();
    let hint = did_you_mean(key, names.iter().copied());
    Fault::new(key, format!("{model} has no such option, it has {}{hint}", names.join(", ")))
}

/// Makes a model known by its name to everything in this process that reads studies or names of
/// models. It takes the place of a line in [`MODELS`] for a model outside this crate.
///
/// # Errors
/// Returns an error if a model of this name is known already.
pub fn register<A: Architecture + Default + 'static>() -> Result<()> {
    let entry = Entry::of::<A>();
    let mut registered = REGISTERED.write().unwrap_or_else(PoisonError::into_inner);
    if MODELS.iter().chain(registered.iter()).any(|known| known.name() == entry.name()) {
        let reason = format!("`{}` is the name of another model; choose a new one", entry.name());
        return Err(Error::Spec(Fault::new("name", reason)));
    }
    registered.push(entry);
    Ok(())
}

/// All models that are known by name: [`MODELS`], and those that were registered.
pub fn models() -> Vec<Entry> {
    let registered = REGISTERED.read().unwrap_or_else(PoisonError::into_inner);
    MODELS.iter().chain(registered.iter()).copied().collect()
}

/// The model of this name.
///
/// # Errors
/// Returns a fault if there is none; it lists those that there are.
pub fn find(name: &str) -> Result<Entry, Fault> {
    let models = models();
    models.iter().copied().find(|entry| entry.name() == name).ok_or_else(|| {
        let names: Vec<&str> = models.iter().map(Entry::name).collect();
        let hint = did_you_mean(name, names.iter().copied());
        Fault::new("name", format!("`{name}` is none of {}{hint}", names.join(", ")))
    })
}
