//! MLP-Mixer (Tolstikhin et al., "MLP-Mixer: an all-MLP architecture for vision", NeurIPS 2021),
//! with timm's names and initial distributions.

use packlight_autograd::{Activation, op};

use super::sizes::MixerSizes;
use crate::checkpointed::CheckpointedBlocks;
use crate::layer::{
    FeedForward, FeedForwardConfig, LayerNorm, Linear, LinearConfig, PatchEmbedding,
};
use crate::{Builder, Init, MemoryStrategy, Module, Result};

const EPSILON: f64 = 1e-6;

/// A mixer: patches, blocks that mix tokens and then channels, and a head on the mean token.
pub struct Mixer {
    stem: PatchEmbedding,
    blocks: CheckpointedBlocks<Block>,
    norm: LayerNorm,
    head: Linear,
}

impl Mixer {
    pub(super) fn new(
        builder: &Builder,
        sizes: &MixerSizes,
        strategy: &MemoryStrategy,
    ) -> Result<Self> {
        strategy.refuse_residual("mixer")?;
        let &MixerSizes { in_channels, width, patch, classes, .. } = sizes;
        let zero = Init::Constant(0.0);
        let embedding = LinearConfig { init: Init::LecunNormal, bias: Some(zero) };
        let head = LinearConfig { init: zero, bias: Some(zero) };
        Ok(Self {
            stem: PatchEmbedding::with(
                &builder.pp("stem").pp("proj"),
                in_channels,
                width,
                patch,
                embedding,
            )?,
            blocks: CheckpointedBlocks::new(
                builder,
                sizes.depth,
                strategy.checkpoint,
                [],
                |number| Block::new(&builder.pp("blocks").pp(number), sizes),
            )?,
            norm: LayerNorm::with(&builder.pp("norm"), width, EPSILON)?,
            head: Linear::with(&builder.pp("head"), width, classes, head)?,
        })
    }
}

impl Module for Mixer {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        let mut x = self.stem.forward(x)?;
        x = self.blocks.forward(&x)?;
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
    fn new(builder: &Builder, sizes: &MixerSizes) -> Result<Self> {
        let &MixerSizes { width, patches, activation, .. } = sizes;
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
        let swap = |x: &Activation| op::permute(x, &[0, 2, 1]);
        let mixed = self.tokens.forward(&swap(&self.norm1.forward(x)?)?)?;
        let x = op::add(x, &swap(&mixed)?)?;
        Ok(op::add(&x, &self.channels.forward(&self.norm2.forward(&x)?)?)?)
    }
}
