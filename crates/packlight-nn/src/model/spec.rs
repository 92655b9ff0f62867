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
}

impl Architecture {
    /// All architectures, in the order in which they are listed to users.
    pub const ALL: [Architecture; 3] =
        [Architecture::Resnet18, Architecture::Resnet20, Architecture::Mlp];

    /// Its name in a study and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Architecture::Resnet18 => "resnet18",
            Architecture::Resnet20 => "resnet20",
            Architecture::Mlp => "mlp",
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
/// `in_channels`, `image_size` and `classes` are facts of the data, which [`ModelSpec::for_images`]
/// fills in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// Which architecture.
    pub name: Architecture,
    /// Channels of a ResNet's first stage; without it 64 for ResNet-18 and 16 for ResNet-20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<usize>,
    /// What ResNet-18 begins with; without it `cifar`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stem: Option<Stem>,
    /// Sizes of an MLP's hidden layers; without it one of 128.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden: Option<Vec<usize>>,
    /// Channels of an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_channels: Option<usize>,
    /// Side of a square image, which an MLP needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_size: Option<usize>,
    /// Number of classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<usize>,
}

/// No width, image or number of classes is larger than this.
const LARGEST: usize = 1 << 16;

/// A specification with nothing missing and nothing out of place.
pub(super) enum Checked {
    Resnet18(ResNetSizes),
    Resnet20(ResNetSizes),
    Mlp(MlpSizes),
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

impl ModelSpec {
    /// The architecture in its usual size, for data that is not known yet.
    pub fn new(name: Architecture) -> Self {
        Self {
            name,
            width: None,
            stem: None,
            hidden: None,
            in_channels: None,
            image_size: None,
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
        let agree = |key, said: Option<usize>, found| match said {
            Some(said) if said != found => Err(Error::Spec {
                key,
                reason: format!("{said} given, the data has {found}; leave the key out"),
            }),
            _ => Ok(Some(found)),
        };
        Ok(Self {
            in_channels: agree("in_channels", self.in_channels, in_channels)?,
            image_size: agree("image_size", self.image_size, image_size)?,
            classes: agree("classes", self.classes, classes)?,
            ..self.clone()
        })
    }

    /// Checks all that can be checked before the data is known.
    ///
    /// # Errors
    /// If a size is 0 or a key belongs to another architecture; the error names the key.
    pub fn validate(&self) -> Result<()> {
        let foreign = [
            ("width", self.width.is_some() && self.name == Architecture::Mlp),
            ("stem", self.stem.is_some() && self.name != Architecture::Resnet18),
            ("hidden", self.hidden.is_some() && self.name != Architecture::Mlp),
        ];
        if let Some((key, _)) = foreign.into_iter().find(|(_, given)| *given) {
            let reason = format!("{} has no such choice; leave the key out", self.name.name());
            return Err(Error::Spec { key, reason });
        }
        let sizes = [
            ("width", self.width),
            ("in_channels", self.in_channels),
            ("image_size", self.image_size),
            ("classes", self.classes),
        ];
        let hidden = self.hidden.iter().flatten().map(|&size| ("hidden", Some(size)));
        for (key, size) in sizes.into_iter().chain(hidden) {
            if let Some(size) = size
                && !(1..=LARGEST).contains(&size)
            {
                let reason = format!("{size} given, expected 1 to {LARGEST}");
                return Err(Error::Spec { key, reason });
            }
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
        let in_channels = fact("in_channels", self.in_channels)?;
        let classes = fact("classes", self.classes)?;
        let resnet = |usual_width| ResNetSizes {
            in_channels,
            width: self.width.unwrap_or(usual_width),
            stem: self.stem.unwrap_or(Stem::Cifar),
            classes,
        };
        Ok(match self.name {
            Architecture::Resnet18 => Checked::Resnet18(resnet(64)),
            Architecture::Resnet20 => Checked::Resnet20(resnet(16)),
            Architecture::Mlp => {
                let side = fact("image_size", self.image_size)?;
                Checked::Mlp(MlpSizes {
                    inputs: in_channels * side * side,
                    hidden: self.hidden.clone().unwrap_or_else(|| vec![128]),
                    classes,
                })
            }
        })
    }
}
