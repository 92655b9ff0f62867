//! MCUNet (Lin et al., "MCUNet: tiny deep learning on IoT devices", NeurIPS 2020): the network
//! `mcunet-in1`, also called `mcunet-5fps`, with the names of its authors' code.

use packlight_spec::Fault;

use super::facts::LARGEST;
use super::inverted::{
    ConvNorm, Head, InvertedResidual, Mobile, Parts, Shape, Sizes, in_proportion, relu6,
};
use super::{Architecture, Blocks, DataFacts, Network, Stem, Takes};
use crate::checkpointed::CheckpointedBlocks;
use crate::layer::LinearConfig;
use crate::{Builder, Init, MemoryStrategy, Result, options};

options! {
    /// MCUNet for ImageNet at 5 frames a second (`mcunet-in1`; Lin et al., NeurIPS 2020).
    pub struct Mcunet {
        /// Channels of the first layer, to which all others are in proportion.
        width: usize = WIDTH,
        /// What the network begins with: `cifar` or `imagenet`.
        stem: Stem = Stem::Cifar,
    }
}

/// The channels of the first layer.
const WIDTH: usize = 16;
/// Output channels, kernel, expansion and stride of each block.
const BLOCKS: [(usize, usize, usize, usize); 14] = [
    (8, 3, 1, 1),
    (16, 3, 4, 2),
    (16, 3, 3, 1),
    (24, 7, 3, 2),
    (24, 3, 5, 1),
    (40, 3, 5, 2),
    (40, 7, 4, 1),
    (48, 5, 4, 1),
    (48, 3, 3, 1),
    (48, 3, 4, 1),
    (96, 7, 5, 2),
    (96, 5, 4, 1),
    (96, 5, 4, 1),
    (160, 3, 6, 1),
];

impl Architecture for Mcunet {
    fn name(&self) -> &'static str {
        "mcunet"
    }

    fn takes(&self) -> Takes {
        Takes::Images
    }

    fn check(&self) -> Result<(), Fault> {
        Fault::unless_within("width", self.width, 1..=LARGEST)
    }

    fn classifier(&self) -> String {
        "classifier.linear".to_owned()
    }

    fn blocks(&self) -> Blocks {
        Blocks::Plain
    }

    fn network(
        &self,
        data: &DataFacts,
        builder: &Builder,
        strategy: &MemoryStrategy,
    ) -> Result<Network> {
        let init = Init::FanIn;
        let (channels, classes) = (data.in_channels()?, data.classes()?);
        let stem = Shape {
            channels,
            out: self.width,
            kernel: 3,
            stride: self.stem.stride(2, true),
            depthwise: false,
            init,
        };
        let stem = ConvNorm::new(&parts(&builder.pp("first_conv")), stem, relu6)?;
        let layout = self.layout();
        let places = builder.pp("blocks").numbered(layout.len());
        let checkpoint = strategy.checkpoint.as_ref();
        let blocks =
            CheckpointedBlocks::new(builder, &places, checkpoint, [], |index, builder| {
                let builder = builder.pp("mobile_inverted_conv");
                let names = ["inverted_bottleneck", "depth_conv", "point_linear"];
                InvertedResidual::new(layout[index], init, names.map(|n| parts(&builder.pp(n))))
            })?;
        let features = layout.last().map_or(self.width, |last| last.out);
        let linear = builder.pp("classifier").pp("linear");
        let head = Head::without_dropout(&linear, (features, classes), LinearConfig::default())?;
        Ok(Network::Images(Box::new(Mobile { stem, blocks, last: None, head })))
    }
}

impl Mcunet {
    /// The sizes of all blocks.
    fn layout(&self) -> Vec<Sizes> {
        let mut channels = self.width;
        let sizes =
            BLOCKS.into_iter().enumerate().map(|(index, (out, kernel, expansion, stride))| {
                let (out, stride) =
                    (in_proportion(out, self.width, WIDTH), self.stem.stride(stride, index == 1));
                let sizes = Sizes { channels, out, kernel, stride, expansion };
                channels = out;
                sizes
            });
        sizes.collect()
    }
}

/// The parts of a layer by the names of the authors' code.
fn parts(builder: &Builder) -> Parts {
    let [conv, norm, activation] = ["conv", "bn", "act"].map(|name| builder.pp(name));
    Parts { conv, norm, activation }
}
