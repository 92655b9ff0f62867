//! How a codec is written: one table per codec, from which come the parser, the printer, the help
//! and the messages about what is written wrong.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use crate::{Codec, Error, Result};

/// A codec as plans write it: `NAME`, `NAME:A:B`, or with the first parameter attached, `NAME2:A`.
/// Words such as `nearest` come last, in any order.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The name, which no other codec has.
    pub name: &'static str,
    /// What follows the name, in order: first numbers and texts, then words. Those that may be left
    /// out stand behind those that may not, and are written together or not at all.
    pub parameters: &'static [Parameter],
    /// One line on what is saved.
    pub summary: &'static str,
    /// Specs that parse, in the form in which the codec prints them; the usual one first.
    pub examples: &'static [&'static str],
    /// Makes the codec from its parameters.
    pub build: fn(&Values) -> Result<Arc<dyn Codec>>,
}

/// One parameter of a codec.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// The placeholder, such as `k` in `pool<k>`.
    pub name: &'static str,
    /// What may be written.
    pub kind: Kind,
    /// Whether it must be written.
    pub presence: Presence,
    /// What it stands for, such as "side of a block in pixels".
    pub meaning: &'static str,
}

/// What may be written for a parameter.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A whole number within these bounds, both included; `u64::MAX` is no bound.
    Whole(u64, u64),
    /// A number within these bounds, both included.
    Number(f64, f64),
    /// A number above 0 and at most this.
    Positive(f64),
    /// At most one of these words.
    Word(&'static [&'static str]),
    /// A text that the codec reads itself; here is what it may be.
    Text(&'static str),
}

/// Whether a parameter must be written.
#[derive(Debug, Clone, Copy)]
pub enum Presence {
    /// Yes, directly behind the name.
    Attached,
    /// Yes, behind a colon.
    Required,
    /// No; [`Values::optional`] tells whether it is.
    Optional,
    /// No; this stands for it.
    Default(&'static str),
}

/// The name under which words are read.
const WORD: &str = "word";

/// What was written for a codec's parameters.
#[derive(Debug)]
pub struct Values<'a> {
    spec: &'a str,
    written: Vec<(&'static str, &'a str)>,
}

impl Parameter {
    /// A number or text that must be written behind a colon.
    pub const fn new(name: &'static str, kind: Kind, meaning: &'static str) -> Self {
        Self { name, kind, presence: Presence::Required, meaning }
    }

    /// Words of which at most one may be written.
    pub const fn words(words: &'static [&'static str], meaning: &'static str) -> Self {
        let kind = Kind::Word(words);
        Self { name: WORD, kind, presence: Presence::Optional, meaning }
    }

    /// The same parameter with another presence.
    pub const fn with(self, presence: Presence) -> Self {
        Self { presence, ..self }
    }

    fn is_word(&self) -> bool {
        matches!(self.kind, Kind::Word(_))
    }

    fn has_word(&self, text: &str) -> bool {
        matches!(self.kind, Kind::Word(words) if words.contains(&text))
    }

    fn may_be_left_out(&self) -> bool {
        matches!(self.presence, Presence::Optional | Presence::Default(_))
    }

    /// What stands before it.
    fn separator(&self) -> &'static str {
        if let Presence::Attached = self.presence { "" } else { ":" }
    }

    /// What may be written, in words.
    fn expected(&self) -> String {
        match self.kind {
            Kind::Whole(least, u64::MAX) => format!("a whole number of at least {least}"),
            Kind::Whole(least, most) => format!("a whole number from {least} to {most}"),
            Kind::Number(least, most) => format!("a number from {least} to {most}"),
            Kind::Positive(most) => format!("a number above 0 and at most {most}"),
            Kind::Word(words) => format!("`{}`", words.join("` or `")),
            Kind::Text(expected) => expected.into(),
        }
    }

    fn accepts(&self, text: &str) -> bool {
        let number = || text.parse::<f64>().ok();
        match self.kind {
            Kind::Whole(least, most) => {
                text.parse().is_ok_and(|number: u64| (least..=most).contains(&number))
            }
            Kind::Number(least, most) => number().is_some_and(|x| (least..=most).contains(&x)),
            Kind::Positive(most) => number().is_some_and(|x| x > 0.0 && x <= most),
            Kind::Word(words) => words.contains(&text),
            Kind::Text(_) => true,
        }
    }

    /// A line of help, such as `<k>: side of a block in pixels, a whole number from 2 to 65536`.
    pub fn help(&self) -> String {
        let left_out = match self.presence {
            Presence::Default(default) => format!("; {default} where left out"),
            _ => String::new(),
        };
        match self.kind {
            Kind::Word(_) => format!("{}: {}", self.expected(), self.meaning),
            _ => format!("<{}>: {}, {}{left_out}", self.name, self.meaning, self.expected()),
        }
    }
}

impl Entry {
    /// How it is written, with placeholders in angle brackets and what may be left out in square
    /// ones: `pool<k>[:zero|:drop][:bilinear]`.
    pub fn pattern(&self) -> String {
        let mut pattern = self.name.to_owned();
        let mut bracket = "[";
        for parameter in self.numbers() {
            if parameter.may_be_left_out() {
                pattern += std::mem::take(&mut bracket);
            }
            pattern += &format!("{}<{}>", parameter.separator(), parameter.name);
        }
        if bracket.is_empty() {
            pattern += "]";
        }
        for parameter in self.parameters {
            if let Kind::Word(words) = parameter.kind {
                pattern += &format!("[:{}]", words.join("|:"));
            }
        }
        pattern
    }

    /// The spec of a codec with these parameters, in the order of [`Entry::parameters`]: an empty
    /// text for a word or an optional parameter that is not written.
    pub fn spec(&self, values: &[&dyn Display]) -> String {
        let texts: Vec<String> = values.iter().map(|value| value.to_string()).collect();
        let all = || self.parameters.iter().zip(&texts);
        let is_implied = |(parameter, text): (&Parameter, &String)| match parameter.presence {
            Presence::Default(default) => text == default,
            Presence::Optional => text.is_empty(),
            Presence::Attached | Presence::Required => false,
        };
        let tail_is_implied =
            all().filter(|(p, _)| !p.is_word() && p.may_be_left_out()).all(is_implied);
        let mut spec = self.name.to_owned();
        for (parameter, text) in all() {
            let left_out = match parameter.is_word() {
                true => is_implied((parameter, text)),
                false => parameter.may_be_left_out() && tail_is_implied,
            };
            if !left_out {
                spec += &format!("{}{text}", parameter.separator());
            }
        }
        spec
    }

    /// The codec that `spec` names; `None` where it names another one.
    pub(crate) fn parse(&self, spec: &str) -> Option<Result<Arc<dyn Codec>>> {
        let texts = self.texts(spec)?;
        Some(self.values(spec, texts).and_then(|values| (self.build)(&values)))
    }

    /// Whether `spec` names this codec.
    pub(crate) fn claims(&self, spec: &str) -> bool {
        self.texts(spec).is_some()
    }

    /// What follows the name in `spec`; `None` where it names another codec.
    fn texts<'a>(&self, spec: &'a str) -> Option<Vec<&'a str>> {
        let mut texts = spec.split(':');
        let attached = texts.next()?.strip_prefix(self.name)?;
        match self.parameters.first().map(|first| first.presence) {
            Some(Presence::Attached) if !attached.starts_with(char::is_alphabetic) => {
                Some([attached].into_iter().chain(texts).collect())
            }
            Some(Presence::Attached) => None,
            _ => attached.is_empty().then(|| texts.collect()),
        }
    }

    /// All parameters but words.
    fn numbers(&self) -> impl Iterator<Item = &'static Parameter> {
        self.parameters.iter().filter(|parameter| !parameter.is_word())
    }

    fn values<'a>(&self, spec: &'a str, texts: Vec<&'a str>) -> Result<Values<'a>> {
        let is_word = |text: &&str| self.parameters.iter().any(|p| p.has_word(text));
        let first_word = texts.iter().position(is_word).unwrap_or(texts.len());
        let (numbers, words) = texts.split_at(first_word);
        let mut written = self.read_numbers(spec, numbers)?;
        written.extend(self.read_words(spec, words)?);
        Ok(Values { spec, written })
    }

    fn read_numbers<'a>(
        &self,
        spec: &str,
        texts: &[&'a str],
    ) -> Result<Vec<(&'static str, &'a str)>> {
        let required = self.numbers().filter(|parameter| !parameter.may_be_left_out()).count();
        if texts.len() != required && texts.len() != self.numbers().count() {
            return Err(self.misfit(spec, texts.last().unwrap_or(&"")));
        }
        let mut written = Vec::new();
        let mut texts = texts.iter().copied();
        for parameter in self.numbers() {
            let default = match parameter.presence {
                Presence::Default(default) => Some(default),
                _ => None,
            };
            let Some(text) = texts.next().or(default) else { continue };
            if !parameter.accepts(text) {
                let (expected, meaning) = (parameter.expected(), parameter.meaning);
                let (name, example) = (parameter.name, self.example());
                let reason = format!(
                    "{expected} expected for <{name}>, the {meaning}, as in `{example}`; `{text}` found"
                );
                return Err(wrong(spec, reason));
            }
            written.push((parameter.name, text));
        }
        Ok(written)
    }

    /// Words in any order, of each parameter at most one.
    fn read_words<'a>(
        &self,
        spec: &str,
        words: &[&'a str],
    ) -> Result<Vec<(&'static str, &'a str)>> {
        let mut taken = Vec::new();
        for word in words {
            let which = self.parameters.iter().position(|parameter| parameter.has_word(word));
            match which.filter(|which| !taken.contains(which)) {
                Some(which) => taken.push(which),
                None => return Err(self.misfit(spec, word)),
            }
        }
        Ok(words.iter().map(|word| (WORD, *word)).collect())
    }

    fn misfit(&self, spec: &str, text: &str) -> Error {
        let (pattern, example) = (self.pattern(), self.example());
        let found = if text.is_empty() { String::new() } else { format!("; `{text}` found") };
        wrong(spec, format!("`{pattern}` expected, as in `{example}`{found}"))
    }

    fn example(&self) -> &'static str {
        self.examples.first().copied().unwrap_or(self.name)
    }
}

impl Values<'_> {
    /// The parameter `name`, as a number of any type or as text.
    ///
    /// # Errors
    /// Returns an error if the entry has no such parameter, or the type does not hold the number.
    pub fn get<T: FromStr>(&self, name: &str) -> Result<T> {
        let unknown = || wrong(self.spec, format!("its entry has no parameter <{name}>"));
        self.optional(name)?.ok_or_else(unknown)
    }

    /// The optional parameter `name`, if it is written.
    ///
    /// # Errors
    /// Returns an error if the type does not hold the number.
    pub fn optional<T: FromStr>(&self, name: &str) -> Result<Option<T>> {
        let Some((_, text)) = self.written.iter().find(|(written, _)| *written == name) else {
            return Ok(None);
        };
        let number = text.parse().map_err(|_| wrong(self.spec, format!("`{text}` is too large")));
        number.map(Some)
    }

    /// Whether this word is written.
    pub fn has(&self, word: &str) -> bool {
        self.written.contains(&(WORD, word))
    }

    /// An error about a parameter that the codec reads itself.
    pub fn wrong(&self, reason: impl Display) -> Error {
        wrong(self.spec, reason)
    }
}

/// An error about what is written in `spec`.
pub(crate) fn wrong(spec: &str, reason: impl Display) -> Error {
    Error::Parameter { spec: spec.into(), reason: reason.to_string() }
}

/// A word for [`Entry::spec`]: itself where it is written, an empty text where it is not.
pub fn word(is_written: bool, word: &'static str) -> &'static str {
    if is_written { word } else { "" }
}
