//! A model's description: its name, its options, and what is known of the data.

use std::sync::Arc;

use packlight_autograd::op;
use packlight_spec::Fault;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use toml::{Table, Value};

use super::list::{Entry, find};
use super::{Architecture, DataFacts, Takes};
use crate::{Error, Result};

/// A model's description, as a study's `[model]` table writes it: a name, options of that model, and
/// facts of the data.
///
/// The facts ([`DataFacts`]) need not be written: [`ModelSpec::for_images`],
/// [`ModelSpec::for_sequences`], [`ModelSpec::for_text`] or [`ModelSpec::for_labelled_text`] adds those of
/// the data.
#[derive(Debug, Clone)]
pub struct ModelSpec {
    entry: Entry,
    /// The options that are given; the others have their defaults.
    given: Table,
    facts: DataFacts,
    architecture: Arc<dyn Architecture>,
}

impl ModelSpec {
    /// The description of this model, for data that is not known yet.
    pub fn new<A: Architecture + Default + 'static>(architecture: A) -> Self {
        let usual = A::default();
        let own = architecture.keys().iter().filter_map(|key| {
            let value = architecture.value(key.name)?;
            (usual.value(key.name).as_ref() != Some(&value)).then(|| (key.name.to_owned(), value))
        });
        Self {
            entry: Entry::of::<A>(),
            given: own.collect(),
            facts: DataFacts::default(),
            architecture: Arc::new(architecture),
        }
    }

    /// The model of this name with these options and facts of the data; the other options have their
    /// defaults.
    ///
    /// # Errors
    /// Returns a fault if there is no such model or option, in which case the nearest name is
    /// suggested, or if a value is not valid.
    pub fn named(name: &str, mut options: Table) -> Result<Self, Fault> {
        let entry = find(name)?;
        let facts = DataFacts::take_from(&mut options, entry.usual().takes())?;
        let architecture = entry.with(&options)?;
        Ok(Self { entry, given: options, facts, architecture: architecture.into() })
    }

    /// This description with another value of an option.
    ///
    /// # Errors
    /// Returns a fault if the model has no such option or the value is not valid.
    pub fn with(&self, key: &str, value: impl Into<Value>) -> Result<Self, Fault> {
        let mut given = self.given.clone();
        given.insert(key.to_owned(), value.into());
        let architecture = self.entry.with(&given)?.into();
        Ok(Self { given, architecture, ..self.clone() })
    }

    /// This description for square images of `in_channels` x `image_size` x `image_size` in `classes`
    /// classes.
    ///
    /// # Errors
    /// Returns an error if it already says otherwise, or the model does not take images.
    pub fn for_images(
        &self,
        in_channels: usize,
        image_size: usize,
        classes: usize,
    ) -> Result<Self> {
        if !matches!(self.takes(), Takes::Images | Takes::SquareImages { .. }) {
            return Err(self.other_data("images"));
        }
        self.with_facts(DataFacts {
            in_channels: Some(in_channels),
            image_size: Some(image_size),
            classes: Some(classes),
            ..DataFacts::default()
        })
    }

    /// This description for pairs of sequences: of `source_vocabulary` and of `classes` different
    /// tokens.
    ///
    /// # Errors
    /// Returns an error if it already says otherwise, or the model does not take pairs.
    pub fn for_sequences(&self, source_vocabulary: usize, classes: usize) -> Result<Self> {
        if !self.takes().is_pairs() {
            return Err(self.other_data("pairs of sequences"));
        }
        self.with_facts(DataFacts {
            source_vocabulary: Some(source_vocabulary),
            classes: Some(classes),
            ..DataFacts::default()
        })
    }

    /// This description for a text of `classes` different tokens.
    ///
    /// # Errors
    /// Returns an error if it already says otherwise, or the model does not take text.
    pub fn for_text(&self, classes: usize) -> Result<Self> {
        if self.takes() != Takes::Text {
            return Err(self.other_data("text"));
        }
        self.with_facts(DataFacts { classes: Some(classes), ..DataFacts::default() })
    }

    /// This description for texts of `vocabulary` different tokens in `classes` classes.
    ///
    /// # Errors
    /// Returns an error if it already says otherwise, or the model does not take labelled text.
    pub fn for_labelled_text(&self, vocabulary: usize, classes: usize) -> Result<Self> {
        if !matches!(self.takes(), Takes::LabelledText { .. }) {
            return Err(self.other_data("labelled text"));
        }
        self.with_facts(DataFacts {
            source_vocabulary: Some(vocabulary),
            classes: Some(classes),
            ..DataFacts::default()
        })
    }

    fn with_facts(&self, data: DataFacts) -> Result<Self> {
        Ok(Self { facts: self.facts.with(&data)?, ..self.clone() })
    }

    /// The model's name.
    pub fn name(&self) -> &'static str {
        self.architecture.name()
    }

    /// What the model reads.
    pub fn takes(&self) -> Takes {
        self.architecture.takes()
    }

    /// The name of the layer that computes the logits: its weight has a row for each class.
    pub fn classifier(&self) -> String {
        self.architecture.classifier()
    }

    /// How the loss of training treats labels.
    pub fn targets(&self) -> op::Targets {
        self.architecture.targets()
    }

    /// The value of an option; `None` if the model has no such option.
    pub fn option(&self, key: &str) -> Option<Value> {
        self.architecture.value(key)
    }

    /// What is known of the data.
    pub fn facts(&self) -> &DataFacts {
        &self.facts
    }

    /// The options and the network that they describe.
    pub(super) fn architecture(&self) -> &dyn Architecture {
        self.architecture.as_ref()
    }

    pub(super) fn other_data(&self, given: &str) -> Error {
        let takes = self.takes().in_words();
        let reason = format!("{} takes {takes}, the data are {given}", self.name());
        Error::Spec(Fault::new("name", reason))
    }

    /// The options that are given, in the order in which the model lists them.
    fn given(&self) -> impl Iterator<Item = (&'static str, Value)> {
        let keys = self.architecture.keys().iter().map(|key| key.name);
        keys.filter(|key| self.given.contains_key(*key))
            .filter_map(|key| Some((key, self.architecture.value(key)?)))
    }

    /// The same description with all options given, those at their defaults too, so that it will mean
    /// the same when a default has changed.
    pub fn complete(&self) -> Self {
        let keys = self.architecture.keys().iter().map(|key| key.name);
        let given = keys.filter_map(|key| Some((key.to_owned(), self.option(key)?))).collect();
        Self { given, ..self.clone() }
    }

    /// The name and the options that are given, for people: `vit, width 48, depth 3, silu`.
    pub fn in_words(&self) -> String {
        let option = |(key, value)| match value {
            Value::String(activation) if key == "activation" => activation,
            Value::String(value) => format!("{value} {key}"),
            Value::Float(value) => format!("{key} {value}"),
            value => format!("{key} {value}"),
        };
        let words: Vec<String> =
            [self.name().to_owned()].into_iter().chain(self.given().map(option)).collect();
        words.join(", ")
    }
}

impl Serialize for ModelSpec {
    /// The name, the options that are given, and the facts that are known.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", self.name())?;
        for (key, value) in self.given() {
            map.serialize_entry(key, &value)?;
        }
        for (key, fact) in self.facts.named() {
            if let Some(fact) = fact {
                map.serialize_entry(key, &fact)?;
            }
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for ModelSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Written {
            name: String,
            #[serde(flatten)]
            options: Table,
        }
        let Written { name, options } = Written::deserialize(deserializer)?;
        Self::named(&name, options).map_err(|fault| de::Error::custom(format!("model: {fault}")))
    }
}
