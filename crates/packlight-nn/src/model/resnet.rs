//! The ResNets of He et al., "Deep residual learning for image recognition", CVPR 2016: those for
//! ImageNet with torchvision's names and initial distributions, those for CIFAR with the ones of
//! Idelbayev's implementation.

use packlight_spec::Fault;
use serde::{Deserialize, Serialize};

use super::facts::LARGEST;
use super::residual::{BlockKind, Family, ResNet, ShortcutKind};
use super::{Architecture, Blocks, DataFacts, ModelSpec, Network, Takes};
use crate::{Builder, Fan, MemoryStrategy, Result, options};

/// What a convolutional network begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stem {
    /// A 3x3 convolution of stride 1, for small images; the first stage of stride 2 of a mobile
    /// network has stride 1, too.
    Cifar,
    /// As in torchvision: a 7x7 convolution of stride 2 and a 3x3 max-pool of stride 2, or a 3x3
    /// convolution of stride 2 in a mobile network.
    Imagenet,
}

/// Implements [`Architecture`] for the options of a network called `$name`; `$stem` takes the stem
/// from them.
macro_rules! resnet {
    ($Name:ident, $name:literal, $family:expr, $stem:expr) => {
        impl $Name {
            const FAMILY: Family<'static> = $family;
        }

        impl Architecture for $Name {
            fn name(&self) -> &'static str {
                $name
            }

            fn takes(&self) -> Takes {
                Takes::Images
            }

            fn check(&self) -> Result<(), Fault> {
                Fault::unless_within("width", self.width, 1..=LARGEST)
            }

            fn classifier(&self) -> String {
                Self::FAMILY.classifier.to_owned()
            }

            fn blocks(&self) -> Blocks {
                Blocks::Residual
            }

            fn network(
                &self,
                data: &DataFacts,
                builder: &Builder,
                strategy: &MemoryStrategy,
            ) -> Result<Network> {
                let stem: fn(&Self) -> Stem = $stem;
                let start = (self.width, stem(self));
                let network = ResNet::new(data, start, &Self::FAMILY, builder, strategy)?;
                Ok(Network::Images(Box::new(network)))
            }
        }
    };
}

/// A network of table 1.
macro_rules! torchvision {
    ($(#[$doc:meta])+ $Name:ident, $name:literal, $Kind:ident, $blocks:expr) => {
        options! {
            $(#[$doc])+
            pub struct $Name {
                /// Channels of the first stage.
                width: usize = 64,
                /// What the network begins with: `cifar` or `imagenet`.
                stem: Stem = Stem::Cifar,
            }
        }
        resnet! {
            $Name,
            $name,
            Family {
                kind: BlockKind::$Kind,
                blocks: &$blocks,
                shortcut: ShortcutKind::Projection,
                fan: Fan::Out,
                classifier: "fc",
            },
            |options| options.stem
        }
    };
}

torchvision! {
    /// ResNet-18 as in torchvision (He et al., CVPR 2016, table 1).
    Resnet18, "resnet18", Basic, [2, 2, 2, 2]
}

torchvision! {
    /// ResNet-34 as in torchvision (He et al., CVPR 2016, table 1).
    Resnet34, "resnet34", Basic, [3, 4, 6, 3]
}

torchvision! {
    /// ResNet-50 as in torchvision (He et al., CVPR 2016, table 1), with the stride at the 3x3
    /// convolution. Its blocks give out four times the channels that their 3x3 convolution has.
    Resnet50, "resnet50", Bottleneck, [3, 4, 6, 3]
}

torchvision! {
    /// ResNet-101 as in torchvision (He et al., CVPR 2016, table 1), with the blocks of [`Resnet50`].
    Resnet101, "resnet101", Bottleneck, [3, 4, 23, 3]
}

torchvision! {
    /// ResNet-152 as in torchvision (He et al., CVPR 2016, table 1), with the blocks of [`Resnet50`].
    Resnet152, "resnet152", Bottleneck, [3, 8, 36, 3]
}

options! {
    /// A ResNet of the blocks of [`Resnet50`], with any number of them in each stage: the network for
    /// questions about depth. It is not among [`MODELS`](super::MODELS), since files and records of a
    /// published depth name that one.
    pub struct Bottlenecks {
        /// Channels of the first stage.
        width: usize = 64,
        /// What the network begins with: `cifar` or `imagenet`.
        stem: Stem = Stem::Imagenet,
        /// The number of blocks in each stage.
        blocks: Vec<usize> = vec![3, 8, 36, 3],
    }
}

impl Bottlenecks {
    /// The same network as that of `spec`; `None` if its blocks are no bottlenecks.
    pub fn like(spec: &ModelSpec) -> Option<Self> {
        let blocks = match spec.name() {
            "resnet50" => Resnet50::FAMILY.blocks,
            "resnet101" => Resnet101::FAMILY.blocks,
            "resnet152" => Resnet152::FAMILY.blocks,
            _ => return None,
        };
        let option = |key| spec.option(key);
        Some(Self {
            width: option("width")?.try_into().ok()?,
            stem: option("stem")?.try_into().ok()?,
            blocks: blocks.to_vec(),
        })
    }

    /// The number of layers with weights that the names of published ResNets count.
    pub fn depth(&self) -> usize {
        2 + 3 * self.blocks.iter().sum::<usize>()
    }
}

impl Architecture for Bottlenecks {
    fn name(&self) -> &'static str {
        "bottlenecks"
    }

    fn takes(&self) -> Takes {
        Takes::Images
    }

    fn check(&self) -> Result<(), Fault> {
        Fault::unless_within("width", self.width, 1..=LARGEST)?;
        self.blocks.iter().try_for_each(|&n| Fault::unless_within("blocks", n, 1..=LARGEST))
    }

    fn classifier(&self) -> String {
        Resnet152::FAMILY.classifier.to_owned()
    }

    fn blocks(&self) -> Blocks {
        Blocks::Residual
    }

    fn network(
        &self,
        data: &DataFacts,
        builder: &Builder,
        strategy: &MemoryStrategy,
    ) -> Result<Network> {
        let family = Family { blocks: &self.blocks, ..Resnet152::FAMILY };
        let network = ResNet::new(data, (self.width, self.stem), &family, builder, strategy)?;
        Ok(Network::Images(Box::new(network)))
    }
}

/// A network of section 4.2, which adds no parameters by its shortcuts (option A).
macro_rules! cifar {
    ($(#[$doc:meta])+ $Name:ident, $name:literal, $blocks:expr) => {
        options! {
            $(#[$doc])+
            pub struct $Name {
                /// Channels of the first stage.
                width: usize = 16,
            }
        }
        resnet! {
            $Name,
            $name,
            Family {
                kind: BlockKind::Basic,
                blocks: &$blocks,
                shortcut: ShortcutKind::Subsample,
                fan: Fan::In,
                classifier: "linear",
            },
            |_| Stem::Cifar
        }
    };
}

cifar! {
    /// ResNet-20 for CIFAR (He et al., CVPR 2016, section 4.2), with shortcuts that add no parameters
    /// (option A).
    Resnet20, "resnet20", [3, 3, 3]
}

cifar! {
    /// ResNet-56 for CIFAR (He et al., CVPR 2016, section 4.2), with the shortcuts of [`Resnet20`].
    Resnet56, "resnet56", [9, 9, 9]
}
