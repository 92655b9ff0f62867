//! EfficientNet-B0 (Tan and Le, "EfficientNet: rethinking model scaling for convolutional neural
//! networks", ICML 2019) with torchvision's names and initial distributions.

use packlight_autograd::{Activation, op};
use packlight_spec::Fault;

use super::facts::LARGEST;
use super::inverted::{
    ConvNorm, Head, Mobile, Parts, Shape, Sizes, check_depth, in_proportion, repeated, silu,
};
use super::{Architecture, Blocks, DataFacts, Network, Stem, Takes};
use crate::checkpointed::CheckpointedBlocks;
use crate::layer::{LinearConfig, SqueezeExcitation, StochasticDepth};
use crate::{Builder, Fan, Init, MemoryStrategy, Module, Result, options};

options! {
    /// EfficientNet-B0 as in torchvision (Tan and Le, ICML 2019, table 1).
    pub struct EfficientnetB0 {
        /// Channels of the first layer, to which all others are in proportion.
        width: usize = WIDTH,
        /// How many times as many blocks each stage has, rounded up.
        depth: f64 = 1.0,
        /// What the network begins with: `cifar` or `imagenet`.
        stem: Stem = Stem::Cifar,
        /// Share of the features that training drops.
        dropout: f64 = 0.2,
        /// Probability that a sample skips a block, towards the last one; it grows from 0.
        stochastic_depth: f64 = 0.2,
    }
}

/// The channels of the first layer of table 1.
const WIDTH: usize = 32;
/// Expansion, kernel, stride, channels and blocks of each stage of table 1.
const STAGES: [(usize, usize, usize, usize, usize); 7] = [
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
];
/// The channels of the last convolution of table 1.
const LAST: usize = 1280;

const INIT: Init = Init::KaimingNormal(Fan::Out);

impl Architecture for EfficientnetB0 {
    fn name(&self) -> &'static str {
        "efficientnet_b0"
    }

    fn takes(&self) -> Takes {
        Takes::Images
    }

    fn check(&self) -> Result<(), Fault> {
        Fault::unless_within("width", self.width, 1..=LARGEST)?;
        check_depth(self.depth)?;
        Fault::unless_probability("dropout", self.dropout)?;
        Fault::unless_probability("stochastic_depth", self.stochastic_depth)
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
        let (channels, classes) = (data.in_channels()?, data.classes()?);
        let stem = Shape {
            channels,
            out: self.width,
            kernel: 3,
            stride: self.stem.stride(2, true),
            depthwise: false,
            init: INIT,
        };
        let stem = ConvNorm::new(&Parts::numbered(&features.pp(0)), stem, silu)?;
        let layout = self.layout();
        let count = layout.len();
        let place = |place: &Place| features.pp(place.stage + 1).pp(place.index);
        let places: Vec<Builder> = layout.iter().map(place).collect();
        let checkpoint = strategy.checkpoint.as_ref();
        let blocks =
            CheckpointedBlocks::new(builder, &places, checkpoint, [], |number, builder| {
                let probability = self.stochastic_depth * number as f64 / count as f64;
                Block::new(builder, layout[number].sizes, probability)
            })?;
        let channels = layout.last().map_or(self.width, |last| last.sizes.out);
        let out = in_proportion(LAST, self.width, WIDTH);
        let last = Parts::numbered(&features.pp(STAGES.len() + 1));
        let last = ConvNorm::new(&last, Shape::pointwise(channels, out, INIT), silu)?;
        let config = LinearConfig {
            init: Init::Uniform { bound: 1.0 / (classes as f64).sqrt() },
            bias: Some(Init::Constant(0.0)),
        };
        let head = Head::new(&builder.pp("classifier"), self.dropout, (out, classes), config)?;
        Ok(Network::Images(Box::new(Mobile { stem, blocks, last: Some(last), head })))
    }
}

/// A block's position and sizes.
#[derive(Clone, Copy)]
struct Place {
    stage: usize,
    index: usize,
    sizes: Sizes,
}

impl EfficientnetB0 {
    fn layout(&self) -> Vec<Place> {
        let mut channels = self.width;
        let mut layout = Vec::new();
        for (stage, (expansion, kernel, stride, out, count)) in STAGES.into_iter().enumerate() {
            let out = in_proportion(out, self.width, WIDTH);
            for index in 0..repeated(count, self.depth) {
                let stride = if index == 0 { self.stem.stride(stride, stage == 1) } else { 1 };
                let sizes = Sizes { channels, out, kernel, stride, expansion };
                layout.push(Place { stage, index, sizes });
                channels = out;
            }
        }
        layout
    }
}

/// An inverted residual block with squeeze-and-excitation before its last convolution.
struct Block {
    before: Vec<ConvNorm>,
    squeeze: SqueezeExcitation,
    project: ConvNorm,
    /// Where there is a shortcut, what drops samples of the block beside it.
    drop: Option<StochasticDepth>,
}

impl Block {
    fn new(builder: &Builder, sizes: Sizes, probability: f64) -> Result<Self> {
        let parts = builder.pp("block");
        let mut before = Vec::new();
        if let Some(shape) = sizes.expand(INIT) {
            before.push(ConvNorm::new(&Parts::numbered(&parts.pp(0)), shape, silu)?);
        }
        let depthwise = Parts::numbered(&parts.pp(before.len()));
        before.push(ConvNorm::new(&depthwise, sizes.depthwise(INIT), silu)?);
        let squeezed = (sizes.channels / 4).max(1);
        let squeeze = parts.pp(before.len());
        let squeeze = SqueezeExcitation::new(&squeeze, sizes.hidden(), squeezed, INIT)?;
        let project = Parts::numbered(&parts.pp(before.len() + 1));
        let project = ConvNorm::linear(&project, sizes.project(INIT))?;
        let drop = || StochasticDepth::new(&builder.pp("stochastic_depth"), probability);
        let drop = sizes.has_shortcut().then(drop).transpose()?;
        Ok(Self { before, squeeze, project, drop })
    }
}

impl Module for Block {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        let y = self.before.iter().try_fold(x.clone(), |y, layer| layer.forward(&y))?;
        let y = self.project.forward(&self.squeeze.forward(&y)?)?;
        match &self.drop {
            Some(drop) => Ok(op::add(drop.forward_owned(y)?, x)?),
            None => Ok(y),
        }
    }
}
