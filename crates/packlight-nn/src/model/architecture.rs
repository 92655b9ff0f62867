//! Which models there are, and what a ResNet begins with.

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
    pub(super) fn keys(self) -> &'static [&'static str] {
        match self {
            Architecture::Resnet18 => &["width", "stem", "in_channels", "image_size"],
            Architecture::Resnet20 => &["width", "in_channels", "image_size"],
            Architecture::Mlp => &["hidden", "in_channels", "image_size"],
            Architecture::Vit => {
                &["width", "depth", "heads", "patch", "activation", "in_channels", "image_size"]
            }
            Architecture::Mixer => {
                &["width", "depth", "patch", "activation", "in_channels", "image_size"]
            }
            Architecture::Transformer => {
                &["width", "depth", "heads", "dropout", "activation", "source_vocabulary"]
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
