//! Vision transformers (Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021), with
//! timm's names and initial distributions.

use packlight_autograd::{Activation, op};

use super::sizes::VitSizes;
use crate::checkpointed::CheckpointedBlocks;
use crate::layer::{
    Attention, FeedForward, FeedForwardConfig, LayerNorm, Learned, Linear, LinearConfig,
    PatchEmbedding,
};
use crate::{Builder, Init, MemoryStrategy, Module, Result};

const EPSILON: f64 = 1e-6;
/// timm's linear layers.
const LINEAR: LinearConfig =
    LinearConfig { init: Init::Normal { deviation: 0.02 }, bias: Some(Init::Constant(0.0)) };

/// A vision transformer: patches, a class token, positions, blocks, and a head on the class token.
pub struct Vit {
    patches: PatchEmbedding,
    class_token: Learned,
    positions: Learned,
    blocks: CheckpointedBlocks<Block>,
    norm: LayerNorm,
    head: Linear,
}

impl Vit {
    pub(super) fn new(
        builder: &Builder,
        sizes: &VitSizes,
        strategy: &MemoryStrategy,
    ) -> Result<Self> {
        strategy.refuse_residual("vit")?;
        let &VitSizes { in_channels, width, patch, patches, classes, .. } = sizes;
        let token = Init::Normal { deviation: 1e-6 };
        let small = Init::Normal { deviation: 0.02 };
        let embedding = builder.pp("patch_embed").pp("proj");
        Ok(Self {
            patches: PatchEmbedding::new(&embedding, in_channels, width, patch)?,
            class_token: Learned::new(&builder.pp("cls_token"), &[1, 1, width], token)?,
            positions: Learned::new(&builder.pp("pos_embed"), &[1, patches + 1, width], small)?,
            blocks: CheckpointedBlocks::new(
                builder,
                sizes.depth,
                strategy.checkpoint,
                [],
                |number| Block::new(&builder.pp("blocks").pp(number), sizes),
            )?,
            norm: LayerNorm::with(&builder.pp("norm"), width, EPSILON)?,
            head: Linear::with(&builder.pp("head"), width, classes, LINEAR)?,
        })
    }
}

impl Module for Vit {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        let mut x = op::prepend_token(&self.patches.forward(x)?, &self.class_token.value())?;
        x = op::add_parameter(&x, &self.positions.value())?;
        x = self.blocks.forward(&x)?;
        x = op::slice(&self.norm.forward(&x)?, 1, 0..1)?;
        self.head.forward(&op::flatten(&x)?)
    }
}

/// Attention and a feed-forward part, each with a norm before it and a shortcut around both.
struct Block {
    norm1: LayerNorm,
    qkv: Linear,
    attention: Attention,
    proj: Linear,
    norm2: LayerNorm,
    mlp: FeedForward,
}

impl Block {
    fn new(builder: &Builder, sizes: &VitSizes) -> Result<Self> {
        let width = sizes.width;
        let attn = builder.pp("attn");
        let feed_forward = FeedForwardConfig {
            linear: [LINEAR; 2],
            activation: sizes.activation,
            ..FeedForwardConfig::default()
        };
        Ok(Self {
            norm1: LayerNorm::with(&builder.pp("norm1"), width, EPSILON)?,
            qkv: Linear::with(&attn.pp("qkv").auxiliary(4), width, 3 * width, LINEAR)?,
            attention: Attention::new(&attn, width, sizes.heads)?,
            proj: Linear::with(&attn.pp("proj").auxiliary(3), width, width, LINEAR)?,
            norm2: LayerNorm::with(&builder.pp("norm2"), width, EPSILON)?,
            mlp: FeedForward::with(&builder.pp("mlp"), width, 4 * width, feed_forward)?,
        })
    }

    fn attend(&self, x: &Activation) -> Result<Activation> {
        let qkv = self.qkv.forward(x)?;
        let width = qkv.dims()[2] / 3;
        let part = |number: usize| op::slice(&qkv, 2, number * width..(number + 1) * width);
        let (queries, keys, values) = (part(0)?, part(1)?, part(2)?);
        let mixed = self.attention.forward(&queries, &keys, &values, &op::Visible::default())?;
        self.proj.forward(&mixed)
    }
}

impl Module for Block {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        let x = op::add(x, &self.attend(&self.norm1.forward(x)?)?)?;
        Ok(op::add(&x, &self.mlp.forward(&self.norm2.forward(&x)?)?)?)
    }
}
