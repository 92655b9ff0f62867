//! ResNet-18, with torchvision's names and initial distributions.

use packlight_spec::Fault;
use serde::{Deserialize, Serialize};

use super::facts::LARGEST;
use super::residual::{Family, ResNet, ShortcutKind};
use super::{Architecture, Blocks, DataFacts, Network, Takes};
use crate::{Builder, Fan, MemoryStrategy, Result, options};

options! {
    /// ResNet-18 as in torchvision (He et al., "Deep residual learning for image recognition", CVPR
    /// 2016, table 1).
    pub struct Resnet18 {
        /// Channels of the first stage.
        width: usize = 64,
        /// What the network begins with: `cifar` or `imagenet`.
        stem: Stem = Stem::Cifar,
    }
}

/// What a ResNet begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stem {
    /// A 3x3 convolution of stride 1, for small images.
    Cifar,
    /// A 7x7 convolution of stride 2 and a 3x3 max-pool of stride 2, as in torchvision.
    Imagenet,
}

const FAMILY: Family = Family {
    blocks: &[2, 2, 2, 2],
    shortcut: ShortcutKind::Projection,
    fan: Fan::Out,
    classifier: "fc",
};

impl Architecture for Resnet18 {
    fn name(&self) -> &'static str {
        "resnet18"
    }

    fn takes(&self) -> Takes {
        Takes::Images
    }

    fn check(&self) -> Result<(), Fault> {
        Fault::unless_within("width", self.width, 1..=LARGEST)
    }

    fn classifier(&self) -> String {
        FAMILY.classifier.to_owned()
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
        let start = (self.width, self.stem);
        Ok(Network::Images(Box::new(ResNet::new(data, start, &FAMILY, builder, strategy)?)))
    }
}
