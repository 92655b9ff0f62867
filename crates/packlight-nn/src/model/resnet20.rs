//! ResNet-20 for CIFAR, with the names and initial distributions of Idelbayev's implementation.

use packlight_spec::Fault;

use super::facts::LARGEST;
use super::residual::{Family, ResNet, ShortcutKind};
use super::{Architecture, Blocks, DataFacts, Network, Stem, Takes};
use crate::{Builder, Fan, MemoryStrategy, Result, options};

options! {
    /// ResNet-20 for CIFAR (He et al., "Deep residual learning for image recognition", CVPR 2016,
    /// section 4.2), with shortcuts that add no parameters (option A).
    pub struct Resnet20 {
        /// Channels of the first stage.
        width: usize = 16,
    }
}

const FAMILY: Family = Family {
    blocks: &[3, 3, 3],
    shortcut: ShortcutKind::Subsample,
    fan: Fan::In,
    classifier: "linear",
};

impl Architecture for Resnet20 {
    fn name(&self) -> &'static str {
        "resnet20"
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
        let start = (self.width, Stem::Cifar);
        Ok(Network::Images(Box::new(ResNet::new(data, start, &FAMILY, builder, strategy)?)))
    }
}
