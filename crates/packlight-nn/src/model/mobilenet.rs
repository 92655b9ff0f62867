//! MobileNetV2 (Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks", CVPR 2018)
//! with torchvision's names and initial distributions.

use packlight_spec::Fault;

use super::facts::LARGEST;
use super::inverted::{
    ConvNorm, Head, InvertedResidual, Mobile, Parts, Shape, Sizes, check_depth, in_proportion,
    relu6, repeated,
};
use super::{Architecture, Blocks, DataFacts, Network, Stem, Takes};
use crate::checkpointed::CheckpointedBlocks;
use crate::layer::LinearConfig;
use crate::{Builder, Fan, Init, MemoryStrategy, Result, options};

options! {
    /// MobileNetV2 as in torchvision (Sandler et al., CVPR 2018, table 2).
    pub struct MobilenetV2 {
        /// Channels of the first layer, to which all others are in proportion.
        width: usize = WIDTH,
        /// How many times as many blocks each stage has, rounded up.
        depth: f64 = 1.0,
        /// What the network begins with: `cifar` or `imagenet`.
        stem: Stem = Stem::Cifar,
        /// Share of the features that training drops.
        dropout: f64 = 0.2,
    }
}

/// The channels of the first layer of table 2.
const WIDTH: usize = 32;
/// Expansion, channels, blocks and stride of each stage of table 2.
const STAGES: [(usize, usize, usize, usize); 7] = [
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
];
/// The channels of the last convolution of table 2.
const LAST: usize = 1280;

impl Architecture for MobilenetV2 {
    fn name(&self) -> &'static str {
        "mobilenet_v2"
    }

    fn takes(&self) -> Takes {
        Takes::Images
    }

    fn check(&self) -> Result<(), Fault> {
        Fault::unless_within("width", self.width, 1..=LARGEST)?;
        check_depth(self.depth)?;
        Fault::unless_probability("dropout", self.dropout)
    }

    fn classifier(&self) -> String {
        "classifier.1".to_owned()
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
        let features = builder.pp("features");
        let init = Init::KaimingNormal(Fan::Out);
        let stem = Shape {
            channels: data.in_channels()?,
            out: self.width,
            kernel: 3,
            stride: self.stem.stride(2, true),
            depthwise: false,
            init,
        };
        let stem = ConvNorm::new(&Parts::numbered(&features.pp(0)), stem, relu6)?;
        let layout = self.layout();
        let places: Vec<Builder> = (1..=layout.len()).map(|number| features.pp(number)).collect();
        let checkpoint = strategy.checkpoint.as_ref();
        let blocks =
            CheckpointedBlocks::new(builder, &places, checkpoint, [], |index, builder| {
                let builder = builder.pp("conv");
                let sizes = layout[index];
                // Without a first convolution, the others move up.
                let first = usize::from(sizes.expansion != 1);
                let numbered = |number: usize| Parts::numbered(&builder.pp(number));
                let project = Parts {
                    conv: builder.pp(first + 1),
                    norm: builder.pp(first + 2),
                    activation: builder.clone(),
                };
                InvertedResidual::new(sizes, init, [numbered(0), numbered(first), project])
            })?;
        let channels = layout.last().map_or(self.width, |last| last.out);
        let out = in_proportion(LAST, self.width, WIDTH);
        let last = Parts::numbered(&features.pp(layout.len() + 1));
        let last = ConvNorm::new(&last, Shape::pointwise(channels, out, init), relu6)?;
        let config = LinearConfig {
            init: Init::Normal { deviation: 0.01 },
            bias: Some(Init::Constant(0.0)),
        };
        let sizes = (out, data.classes()?);
        let head = Head::new(&builder.pp("classifier"), self.dropout, sizes, config)?;
        Ok(Network::Images(Box::new(Mobile { stem, blocks, last: Some(last), head })))
    }
}

impl MobilenetV2 {
    /// The sizes of all blocks.
    fn layout(&self) -> Vec<Sizes> {
        let mut channels = self.width;
        let mut layout = Vec::new();
        for (stage, (expansion, out, count, stride)) in STAGES.into_iter().enumerate() {
            let out = in_proportion(out, self.width, WIDTH);
            for index in 0..repeated(count, self.depth) {
                let stride = if index == 0 { self.stem.stride(stride, stage == 1) } else { 1 };
                layout.push(Sizes { channels, out, kernel: 3, stride, expansion });
                channels = out;
            }
        }
        layout
    }
}
