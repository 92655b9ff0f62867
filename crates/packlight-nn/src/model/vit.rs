//! Vision transformers (Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021), with
//! timm's names and initial distributions.

use packlight_autograd::{Activation, op};
use packlight_spec::Fault;

use super::facts::LARGEST;
use super::patches::{LARGEST_PATCH, check_heads, patches};
use super::{Architecture, Blocks, DataFacts, Network, Takes};
use crate::checkpointed::CheckpointedBlocks;
use crate::layer::{
    Attention, FeedForward, FeedForwardConfig, LayerNorm, Learned, Linear, LinearConfig,
    Nonlinearity, PatchEmbedding, queries_keys_values,
};
use crate::{Builder, Init, MemoryStrategy, Module, Result, options};

const EPSILON: f64 = 1e-6;
/// The settings of timm's linear layers.
const LINEAR: LinearConfig =
    LinearConfig { init: Init::Normal { deviation: 0.02 }, bias: Some(Init::Constant(0.0)) };

options! {
    /// A vision transformer: patches, a class token, positions, blocks, and a head on the class token.
    pub struct Vit {
        /// Features of a token.
        width: usize = 192,
        /// Number of blocks.
        depth: usize = 12,
        /// Heads of attention, which divide the width.
        heads: usize = 3,
        /// Side of a patch in pixels, which divides that of an image.
        patch: usize = 4,
        /// The non-linearity of feed-forward parts: `gelu`, `gelu_tanh` or `silu`.
        activation: Nonlinearity = Nonlinearity::Gelu,
    }
}

impl Architecture for Vit {
    fn name(&self) -> &'static str {
        "vit"
    }

    fn takes(&self) -> Takes {
        Takes::SquareImages { multiple_of: self.patch }
    }

    fn check(&self) -> Result<(), Fault> {
        Fault::unless_within("width", self.width, 1..=LARGEST)?;
        Fault::unless_within("depth", self.depth, 1..=LARGEST)?;
        Fault::unless_within("heads", self.heads, 1..=LARGEST)?;
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
        check_heads(self.heads, self.width)?;
        let (in_channels, classes) = (data.in_channels()?, data.classes()?);
        let &Vit { width, patch, .. } = self;
        let patches = patches(patch, data.image_size()?)?;
        let token = Init::Normal { deviation: 1e-6 };
        let small = Init::Normal { deviation: 0.02 };
        let embedding = builder.pp("patch_embed").pp("proj");
        Ok(Network::Images(Box::new(Layers {
            patches: PatchEmbedding::new(&embedding, in_channels, width, patch)?,
            class_token: Learned::new(&builder.pp("cls_token"), &[1, 1, width], token)?,
            positions: Learned::new(&builder.pp("pos_embed"), &[1, patches + 1, width], small)?,
            blocks: CheckpointedBlocks::new(
                builder,
                &builder.pp("blocks").numbered(self.depth),
                strategy.checkpoint.as_ref(),
                [],
                |_, builder| Block::new(builder, self),
            )?,
            norm: LayerNorm::with(&builder.pp("norm"), width, EPSILON)?,
            head: Linear::with(&builder.pp("head"), width, classes, LINEAR)?,
        })))
    }
}

struct Layers {
    patches: PatchEmbedding,
    class_token: Learned,
    positions: Learned,
    blocks: CheckpointedBlocks<Block>,
    norm: LayerNorm,
    head: Linear,
}

impl Module for Layers {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        let mut x = op::prepend_token(&self.patches.forward(x)?, &self.class_token.value())?;
        x = op::add_parameter(&x, &self.positions.value())?;
        x = self.blocks.forward_owned(x)?;
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
    fn new(builder: &Builder, options: &Vit) -> Result<Self> {
        let width = options.width;
        let attn = builder.pp("attn");
        let feed_forward = FeedForwardConfig {
            linear: [LINEAR; 2],
            activation: options.activation,
            ..FeedForwardConfig::default()
        };
        Ok(Self {
            norm1: LayerNorm::with(&builder.pp("norm1"), width, EPSILON)?,
            qkv: Linear::with(&attn.pp("qkv").auxiliary(4), width, 3 * width, LINEAR)?,
            attention: Attention::new(&attn, width, options.heads)?,
            proj: Linear::with(&attn.pp("proj").auxiliary(3), width, width, LINEAR)?,
            norm2: LayerNorm::with(&builder.pp("norm2"), width, EPSILON)?,
            mlp: FeedForward::with(&builder.pp("mlp"), width, 4 * width, feed_forward)?,
        })
    }

    fn attend(&self, x: &Activation) -> Result<Activation> {
        let qkv = self.qkv.forward(&self.norm1.forward(x)?)?;
        let [queries, keys, values] = queries_keys_values(qkv)?;
        let mixed = self.attention.forward(queries, keys, values, &op::Visible::default())?;
        self.proj.forward(&mixed)
    }
}

impl Module for Block {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        self.forward_owned(x.clone())
    }

    fn forward_owned(&self, mut x: Activation) -> Result<Activation> {
        let mut y = self.attend(&x)?;
        x = op::add(x, y)?;
        y = self.mlp.forward_owned(self.norm2.forward(&x)?)?;
        Ok(op::add(x, y)?)
    }
}
