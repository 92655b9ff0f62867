//! A model's description, and whether it makes sense.

use serde::{Deserialize, Serialize};

use super::{Architecture, Stem};
use crate::layer::Nonlinearity;
use crate::{Error, Result};

/// A model's description, as a study's `[model]` table writes it.
///
/// `in_channels`, `image_size`, `source_vocabulary` and `classes` are facts of the data, which
/// [`ModelSpec::for_images`] or [`ModelSpec::for_sequences`] fills in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// Which architecture.
    pub name: Architecture,
    /// Channels of a ResNet's first stage, or features of a token; without it 64 for ResNet-18, 16
    /// for ResNet-20, 192 for ViT and 512 for Mixer and Transformer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<usize>,
    /// What ResNet-18 begins with; without it `cifar`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stem: Option<Stem>,
    /// Sizes of an MLP's hidden layers; without it one of 128.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden: Option<Vec<usize>>,
    /// Blocks of a ViT or Mixer, or layers on each side of a Transformer; without it 12, 8 and 6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<usize>,
    /// Heads of attention; without it 3 for ViT and 8 for Transformer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heads: Option<usize>,
    /// Side of a patch in pixels; without it 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<usize>,
    /// Share that a Transformer drops; without it 0.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
    /// What stands between the linear layers of a feed-forward part of a ViT, Mixer or Transformer;
    /// without it `gelu`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation: Option<Nonlinearity>,
    /// Channels of an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_channels: Option<usize>,
    /// Side of a square image; a ResNet takes any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_size: Option<usize>,
    /// Number of different tokens in a source sequence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_vocabulary: Option<usize>,
    /// Number of classes, or of different tokens in a target sequence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<usize>,
}

/// No width, image or number of classes is larger than this.
const LARGEST: usize = 1 << 16;
/// No patch is larger than this.
const LARGEST_PATCH: usize = 256;

impl ModelSpec {
    /// The architecture in its usual size, for data that is not known yet.
    pub fn new(name: Architecture) -> Self {
        Self {
            name,
            width: None,
            stem: None,
            hidden: None,
            depth: None,
            heads: None,
            patch: None,
            dropout: None,
            activation: None,
            in_channels: None,
            image_size: None,
            source_vocabulary: None,
            classes: None,
        }
    }

    /// This specification for square images of `in_channels` x `image_size` x `image_size` in
    /// `classes` classes.
    ///
    /// # Errors
    /// If it already says otherwise.
    pub fn for_images(
        &self,
        in_channels: usize,
        image_size: usize,
        classes: usize,
    ) -> Result<Self> {
        if self.name.takes_sequences() {
            return Err(self.other_data("pairs of sequences", "images"));
        }
        Ok(Self {
            in_channels: agree("in_channels", self.in_channels, in_channels)?,
            image_size: agree("image_size", self.image_size, image_size)?,
            classes: agree("classes", self.classes, classes)?,
            ..self.clone()
        })
    }

    /// This specification for pairs of sequences: of `source_vocabulary` and of `classes` different
    /// tokens.
    ///
    /// # Errors
    /// If it already says otherwise.
    pub fn for_sequences(&self, source_vocabulary: usize, classes: usize) -> Result<Self> {
        if !self.name.takes_sequences() {
            return Err(self.other_data("images", "pairs of sequences"));
        }
        Ok(Self {
            source_vocabulary: agree(
                "source_vocabulary",
                self.source_vocabulary,
                source_vocabulary,
            )?,
            classes: agree("classes", self.classes, classes)?,
            ..self.clone()
        })
    }

    /// The name of the layer that gives the logits: its weight has a row for each class.
    pub fn classifier(&self) -> String {
        match self.name {
            Architecture::Resnet18 => "fc".to_owned(),
            Architecture::Resnet20 => "linear".to_owned(),
            Architecture::Mlp => format!("fc{}", self.hidden.as_ref().map_or(1, Vec::len) + 1),
            Architecture::Vit | Architecture::Mixer => "head".to_owned(),
            Architecture::Transformer => "decoder_generator.linear".to_owned(),
        }
    }

    /// The name of the layer whose weight has a row for each different token of a source sequence;
    /// `None` where the model takes images.
    pub fn source_table(&self) -> Option<&'static str> {
        self.name.takes_sequences().then_some("src_embedding.embeddings_table")
    }

    pub(super) fn other_data(&self, takes: &str, given: &str) -> Error {
        let reason = format!("{} takes {takes}, the data are {given}", self.name.name());
        Error::Spec { key: "name", reason }
    }

    /// Checks all that can be checked before the data is known.
    ///
    /// # Errors
    /// If a size is 0 or a key belongs to another architecture; the error names the key.
    pub fn validate(&self) -> Result<()> {
        let given = [
            ("width", self.width.is_some()),
            ("stem", self.stem.is_some()),
            ("hidden", self.hidden.is_some()),
            ("depth", self.depth.is_some()),
            ("heads", self.heads.is_some()),
            ("patch", self.patch.is_some()),
            ("dropout", self.dropout.is_some()),
            ("activation", self.activation.is_some()),
            ("in_channels", self.in_channels.is_some()),
            ("image_size", self.image_size.is_some()),
            ("source_vocabulary", self.source_vocabulary.is_some()),
        ];
        let keys = self.name.keys();
        let mut foreign = given.into_iter().filter(|(key, given)| *given && !keys.contains(key));
        if let Some((key, _)) = foreign.next() {
            let reason = format!("{} has no such choice; leave the key out", self.name.name());
            return Err(Error::Spec { key, reason });
        }
        let sizes = [
            ("width", self.width, LARGEST),
            ("depth", self.depth, LARGEST),
            ("heads", self.heads, LARGEST),
            ("patch", self.patch, LARGEST_PATCH),
            ("in_channels", self.in_channels, LARGEST),
            ("image_size", self.image_size, LARGEST),
            ("source_vocabulary", self.source_vocabulary, LARGEST),
            ("classes", self.classes, LARGEST),
        ];
        let hidden = self.hidden.iter().flatten().map(|&size| ("hidden", Some(size), LARGEST));
        for (key, size, largest) in sizes.into_iter().chain(hidden) {
            if let Some(size) = size
                && !(1..=largest).contains(&size)
            {
                let reason = format!("{size} given, expected 1 to {largest}");
                return Err(Error::Spec { key, reason });
            }
        }
        if let Some(dropout) = self.dropout.filter(|dropout| !(0.0..1.0).contains(dropout)) {
            let reason = format!("{dropout} given, expected 0 <= dropout < 1");
            return Err(Error::Spec { key: "dropout", reason });
        }
        if self.name == Architecture::Mixer && self.width == Some(1) {
            let reason = "1 given, expected at least 2: half of it is hidden between tokens".into();
            return Err(Error::Spec { key: "width", reason });
        }
        Ok(())
    }
}

/// What the data has, unless the specification says otherwise.
fn agree(key: &'static str, said: Option<usize>, found: usize) -> Result<Option<usize>> {
    match said {
        Some(said) if said != found => Err(Error::Spec {
            key,
            reason: format!("{said} given, the data has {found}; leave the key out"),
        }),
        _ => Ok(Some(found)),
    }
}
