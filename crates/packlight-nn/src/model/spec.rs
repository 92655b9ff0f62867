//! Which model, and of what size.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::nearest::nearest;
use crate::{Error, Result};

/// The models there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// ResNet-18 as in torchvision (He et al., CVPR 2016, table 1).
    Resnet18,
    /// ResNet-20 for CIFAR (He et al., CVPR 2016, section 4.2), with shortcuts that add no
    /// parameters (option A).
    Resnet20,
    /// Fully connected layers with ReLUs between them.
    Mlp,
    /// A vision transformer as in timm (Dosovitskiy et al., ICLR 2021).
    Vit,
    /// An MLP-Mixer as in timm (Tolstikhin et al., NeurIPS 2021).
    Mixer,
    /// An encoder-decoder transformer for pairs of sequences (Vaswani et al., NeurIPS 2017).
    Transformer,
}

impl Architecture {
    /// All architectures, in the order in which they are listed to users.
    pub const ALL: [Architecture; 6] = [
        Architecture::Resnet18,
        Architecture::Resnet20,
        Architecture::Mlp,
        Architecture::Vit,
        Architecture::Mixer,
        Architecture::Transformer,
    ];

    /// Its name in a study and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Architecture::Resnet18 => "resnet18",
            Architecture::Resnet20 => "resnet20",
            Architecture::Mlp => "mlp",
            Architecture::Vit => "vit",
            Architecture::Mixer => "mixer",
            Architecture::Transformer => "transformer",
        }
    }

    /// Whether it takes pairs of sequences, not images.
    pub fn takes_sequences(self) -> bool {
        self == Architecture::Transformer
    }

    /// The keys of a specification that are for it.
    fn keys(self) -> &'static [&'static str] {
        match self {
            Architecture::Resnet18 => &["width", "stem", "in_channels", "image_size"],
            Architecture::Resnet20 => &["width", "in_channels", "image_size"],
            Architecture::Mlp => &["hidden", "in_channels", "image_size"],
            Architecture::Vit => &["width", "depth", "heads", "patch", "in_channels", "image_size"],
            Architecture::Mixer => &["width", "depth", "patch", "in_channels", "image_size"],
            Architecture::Transformer => {
                &["width", "depth", "heads", "dropout", "source_vocabulary"]
            }
        }
    }
}

/// What a ResNet-18 begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stem {
    /// A 3x3 convolution of stride 1, for small images.
    Cifar,
    /// A 7x7 convolution of stride 2 and a 3x3 max-pool of stride 2, as in torchvision.
    Imagenet,
}

impl Stem {
    /// All stems, in the order in which they are listed to users.
    pub const ALL: [Stem; 2] = [Stem::Cifar, Stem::Imagenet];

    /// Its name in a study and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Stem::Cifar => "cifar",
            Stem::Imagenet => "imagenet",
        }
    }
}

impl FromStr for Architecture {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        by_name("name", name, &Self::ALL, Self::name)
    }
}

impl FromStr for Stem {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        by_name("stem", name, &Self::ALL, Self::name)
    }
}

fn by_name<T: Copy>(
    key: &'static str,
    name: &str,
    all: &[T],
    name_of: fn(T) -> &'static str,
) -> Result<T> {
    all.iter().copied().find(|&item| name_of(item) == name).ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|&item| name_of(item)).collect();
        let hint = nearest(name, names.iter().copied());
        let hint = hint.map(|name| format!("; the nearest is `{name}`")).unwrap_or_default();
        Error::Spec { key, reason: format!("`{name}` is none of {}{hint}", names.join(", ")) }
    })
}

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

/// A specification with nothing missing and nothing out of place.
pub(super) enum Checked {
    Resnet18(ResNetSizes),
    Resnet20(ResNetSizes),
    Mlp(MlpSizes),
    Vit(VitSizes),
    Mixer(MixerSizes),
    Transformer(TransformerSizes),
}

pub(super) struct ResNetSizes {
    pub(super) in_channels: usize,
    pub(super) width: usize,
    pub(super) stem: Stem,
    pub(super) classes: usize,
}

pub(super) struct MlpSizes {
    pub(super) inputs: usize,
    pub(super) hidden: Vec<usize>,
    pub(super) classes: usize,
}

pub(super) struct VitSizes {
    pub(super) in_channels: usize,
    pub(super) width: usize,
    pub(super) depth: usize,
    pub(super) heads: usize,
    pub(super) patch: usize,
    pub(super) patches: usize,
    pub(super) classes: usize,
}

pub(super) struct MixerSizes {
    pub(super) in_channels: usize,
    pub(super) width: usize,
    pub(super) depth: usize,
    pub(super) patch: usize,
    pub(super) patches: usize,
    pub(super) classes: usize,
}

pub(super) struct TransformerSizes {
    pub(super) source_vocabulary: usize,
    pub(super) width: usize,
    pub(super) depth: usize,
    pub(super) heads: usize,
    pub(super) dropout: f64,
    pub(super) classes: usize,
}

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

    fn other_data(&self, takes: &str, given: &str) -> Error {
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

    /// The specification with every choice made.
    pub(super) fn checked(&self) -> Result<Checked> {
        self.validate()?;
        let fact = |key, value: Option<usize>| {
            value.ok_or_else(|| Error::Spec {
                key,
                reason: "not known; give it or take it from the data".into(),
            })
        };
        let classes = fact("classes", self.classes)?;
        let in_channels = || fact("in_channels", self.in_channels);
        let resnet = |usual_width| -> Result<ResNetSizes> {
            Ok(ResNetSizes {
                in_channels: in_channels()?,
                width: self.width.unwrap_or(usual_width),
                stem: self.stem.unwrap_or(Stem::Cifar),
                classes,
            })
        };
        Ok(match self.name {
            Architecture::Resnet18 => Checked::Resnet18(resnet(64)?),
            Architecture::Resnet20 => Checked::Resnet20(resnet(16)?),
            Architecture::Mlp => {
                let side = fact("image_size", self.image_size)?;
                Checked::Mlp(MlpSizes {
                    inputs: in_channels()? * side * side,
                    hidden: self.hidden.clone().unwrap_or_else(|| vec![128]),
                    classes,
                })
            }
            Architecture::Vit => Checked::Vit(VitSizes {
                in_channels: in_channels()?,
                width: self.width.unwrap_or(192),
                depth: self.depth.unwrap_or(12),
                heads: self.heads_of(self.width.unwrap_or(192), 3)?,
                patch: self.patch.unwrap_or(PATCH),
                patches: self.patches(fact("image_size", self.image_size)?)?,
                classes,
            }),
            Architecture::Mixer => Checked::Mixer(MixerSizes {
                in_channels: in_channels()?,
                width: self.width.unwrap_or(512),
                depth: self.depth.unwrap_or(8),
                patch: self.patch.unwrap_or(PATCH),
                patches: self.patches(fact("image_size", self.image_size)?)?,
                classes,
            }),
            Architecture::Transformer => Checked::Transformer(TransformerSizes {
                source_vocabulary: fact("source_vocabulary", self.source_vocabulary)?,
                width: self.width.unwrap_or(512),
                depth: self.depth.unwrap_or(6),
                heads: self.heads_of(self.width.unwrap_or(512), 8)?,
                dropout: self.dropout.unwrap_or(0.1),
                classes,
            }),
        })
    }

    /// Patches of a square image.
    fn patches(&self, side: usize) -> Result<usize> {
        let patch = self.patch.unwrap_or(PATCH);
        match side.is_multiple_of(patch) {
            true => Ok((side / patch).pow(2)),
            false => {
                let reason = format!("{patch} does not divide images of {side} x {side} pixels");
                Err(Error::Spec { key: "patch", reason })
            }
        }
    }

    /// Heads, which must divide the features.
    fn heads_of(&self, width: usize, usual: usize) -> Result<usize> {
        let heads = self.heads.unwrap_or(usual);
        match width.is_multiple_of(heads) {
            true => Ok(heads),
            false => {
                let reason = format!("{heads} do not divide the width, {width}");
                Err(Error::Spec { key: "heads", reason })
            }
        }
    }
}

/// The usual side of a patch, for small images.
const PATCH: usize = 4;

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
