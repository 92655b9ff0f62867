//! What a model needs to know about the data.

use super::Takes;
use crate::Result;
use packlight_spec::Fault;
use toml::Table;

/// What a model needs to know about the data, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DataFacts {
    /// Channels of an image.
    pub in_channels: Option<usize>,
    /// Side of a square image.
    pub image_size: Option<usize>,
    /// Number of different tokens in a source sequence, or in a text of one class.
    pub source_vocabulary: Option<usize>,
    /// Number of classes, or of different tokens in a target sequence or a text.
    pub classes: Option<usize>,
}

/// No image, vocabulary, layer or number of classes is larger than this.
pub(super) const LARGEST: usize = 1 << 16;

impl DataFacts {
    /// Channels of an image.
    ///
    /// # Errors
    /// Returns an error if they are not known.
    pub fn in_channels(&self) -> Result<usize> {
        known("in_channels", self.in_channels)
    }

    /// Side of a square image, in pixels.
    ///
    /// # Errors
    /// Returns an error if it is not known.
    pub fn image_size(&self) -> Result<usize> {
        known("image_size", self.image_size)
    }

    /// Number of different tokens in a source sequence.
    ///
    /// # Errors
    /// Returns an error if it is not known.
    pub fn source_vocabulary(&self) -> Result<usize> {
        known("source_vocabulary", self.source_vocabulary)
    }

    /// Number of classes, or of different tokens in a target sequence.
    ///
    /// # Errors
    /// Returns an error if it is not known.
    pub fn classes(&self) -> Result<usize> {
        known("classes", self.classes)
    }

    /// The facts by name, in the order in which they are written.
    pub(super) fn named(&self) -> [(&'static str, Option<usize>); 4] {
        [
            ("in_channels", self.in_channels),
            ("image_size", self.image_size),
            ("source_vocabulary", self.source_vocabulary),
            ("classes", self.classes),
        ]
    }

    /// Takes the facts that a model needs to know out of a table.
    ///
    /// # Errors
    /// Returns a fault if one is not a possible size.
    pub(super) fn take_from(table: &mut Table, takes: Takes) -> Result<Self, Fault> {
        let mut take = |key: &str| -> Result<Option<usize>, Fault> {
            let Some(value) = table.remove(key) else { return Ok(None) };
            let fact = value.try_into().map_err(|e| Fault::new(key, e.message().trim_end()))?;
            Fault::unless_within(key, fact, 1..=LARGEST)?;
            Ok(Some(fact))
        };
        let classes = take("classes")?;
        Ok(match takes {
            Takes::Pairs { .. } | Takes::LabelledText { .. } => {
                Self { source_vocabulary: take("source_vocabulary")?, classes, ..Self::default() }
            }
            Takes::Text => Self { classes, ..Self::default() },
            Takes::Images | Takes::SquareImages { .. } => Self {
                in_channels: take("in_channels")?,
                image_size: take("image_size")?,
                classes,
                ..Self::default()
            },
        })
    }

    /// These facts, and those that the data adds.
    ///
    /// # Errors
    /// Returns a fault if the two contradict each other.
    pub(super) fn with(&self, data: &Self) -> Result<Self, Fault> {
        let agree = |key, given: Option<usize>, found: Option<usize>| match (given, found) {
            (Some(given), Some(found)) if given != found => {
                let reason = format!("{given} given, the data has {found}; leave the key out");
                Err(Fault::new(key, reason))
            }
            _ => Ok(found.or(given)),
        };
        Ok(Self {
            in_channels: agree("in_channels", self.in_channels, data.in_channels)?,
            image_size: agree("image_size", self.image_size, data.image_size)?,
            source_vocabulary: agree(
                "source_vocabulary",
                self.source_vocabulary,
                data.source_vocabulary,
            )?,
            classes: agree("classes", self.classes, data.classes)?,
        })
    }
}

fn known(key: &str, fact: Option<usize>) -> Result<usize> {
    Ok(fact.ok_or_else(|| Fault::new(key, "not known; give it or take it from the data"))?)
}
