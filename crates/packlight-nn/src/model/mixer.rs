//! MLP-Mixer (Tolstikhin et al., "MLP-Mixer: an all-MLP architecture for vision", NeurIPS 2021),
//! with timm's names and initial distributions.

use packlight_autograd::{Activation, op};
use packlight_spec::Fault;

use super::facts::LARGEST;
use super::patches::{LARGEST_PATCH, patches};
use super::{Architecture, Blocks, DataFacts, Network, Takes};
use crate::checkpointed::CheckpointedBlocks;
use crate::layer::{
    FeedForward, FeedForwardConfig, LayerNorm, Linear, LinearConfig, Nonlinearity, PatchEmbedding,
};
use crate::{Builder, Init, MemoryStrategy, Module, Result, options};

const EPSILON: f64 = 1e-6;

options! {
    /// A mixer: patches, blocks that mix tokens and then channels, and a head on the mean token.
    pub struct Mixer {
        /// Features of a token.
        width: usize = 512,
        /// Number of blocks.
        depth: usize = 8,
        /// Side of a patch in pixels, which divides that of an image.
        patch: usize = 4,
        /// The non-linearity of feed-forward parts: `gelu`, `gelu_tanh` or `silu`.
        activation: Nonlinearity = Nonlinearity::Gelu,
    }
}

impl Architecture for Mixer {
    fn name(&self) -> &'static str {
        "mixer"
    }

    fn takes(&self) -> Takes {
        Takes::SquareImages { multiple_of: self.patch }
    }

    fn check(&self) -> Result<(), Fault> {
        if self.width == 1 {
            let reason = "1 given, expected at least 2: half of it is hidden between tokens";
            return Err(Fault::new("width", reason));
        }
        Fault::unless_within("width", self.width, 1..=LARGEST)?;
        Fault::unless_within("depth", self.depth, 1..=LARGEST)?;
        Fault::unless_within("patch", self.patch, 1..=LARGEST_PATCH)
    }

    fn classifier(&self) -> String {
        "head".to_owned()
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
        let (in_channels, classes) = (data.in_channels()?, data.classes()?);
        let &Mixer { width, patch, .. } = self;
        let patches = patches(patch, data.image_size()?)?;
        let zero = Init::Constant(0.0);
        let embedding = LinearConfig { init: Init::LecunNormal, bias: Some(zero) };
        let head = LinearConfig { init: zero, bias: Some(zero) };
        Ok(Network::Images(Box::new(Layers {
            stem: PatchEmbedding::with(
                &builder.pp("stem").pp("proj"),
                in_channels,
                width,
                patch,
                embedding,
            )?,
            blocks: CheckpointedBlocks::new(
                builder,
                &builder.pp("blocks").numbered(self.depth),
                strategy.checkpoint.as_ref(),
                [],
                |_, builder| Block::new(builder, self, patches),
            )?,
            norm: LayerNorm::with(&builder.pp("norm"), width, EPSILON)?,
            head: Linear::with(&builder.pp("head"), width, classes, head)?,
        })))
    }
}

struct Layers {
    stem: PatchEmbedding,
    blocks: CheckpointedBlocks<Block>,
    norm: LayerNorm,
    head: Linear,
}

impl Module for Layers {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        let mut x = self.stem.forward(x)?;
        x = self.blocks.forward_owned(x)?;
        self.head.forward(&op::mean_axis(&self.norm.forward(&x)?, 1)?)
    }
}

/// One feed-forward part over the tokens and one over the channels, each with a norm before it and
/// a shortcut around both.
struct Block {
    norm1: LayerNorm,
    tokens: FeedForward,
    norm2: LayerNorm,
    channels: FeedForward,
}

impl Block {
    fn new(builder: &Builder, options: &Mixer, patches: usize) -> Result<Self> {
        let &Mixer { width, activation, .. } = options;
        let mlp = |name: &str, (features, hidden), auxiliary| {
            let linear = LinearConfig {
                init: Init::xavier_uniform(features, hidden),
                bias: Some(Init::Normal { deviation: 1e-6 }),
            };
            let config = FeedForwardConfig {
                linear: [linear; 2],
                auxiliary,
                activation,
                ..FeedForwardConfig::default()
            };
            FeedForward::with(&builder.pp(name), features, hidden, config)
        };
        Ok(Self {
            norm1: LayerNorm::with(&builder.pp("norm1"), width, EPSILON)?,
            tokens: mlp("mlp_tokens", (patches, width / 2), [4, 3])?,
            norm2: LayerNorm::with(&builder.pp("norm2"), width, EPSILON)?,
            channels: mlp("mlp_channels", (width, 4 * width), [2, 1])?,
        })
    }
}

impl Module for Block {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        self.forward_owned(x.clone())
    }

    fn forward_owned(&self, mut x: Activation) -> Result<Activation> {
        let swap = |x: Activation| op::permute(&x, &[0, 2, 1]);
        let mut y = self.tokens.forward_owned(swap(self.norm1.forward(&x)?)?)?;
        x = op::add(x, swap(y)?)?;
        y = self.channels.forward_owned(self.norm2.forward(&x)?)?;
        Ok(op::add(x, y)?)
    }
}
