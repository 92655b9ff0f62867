//! Swin transformers (Liu et al., "Swin transformer: hierarchical vision transformer using shifted
//! windows", ICCV 2021), with torchvision's names and initial distributions.

use candle_core::{Device, Tensor};
use packlight_autograd::{Activation, op};
use packlight_spec::Fault;

use super::facts::LARGEST;
use super::patches::{LARGEST_PATCH, check_heads};
use super::{Architecture, Blocks, DataFacts, Network, Takes};
use crate::checkpointed::CheckpointedBlocks;
use crate::layer::{
    Attention, Conv2d, Conv2dConfig, FeedForward, FeedForwardConfig, LayerNorm, Learned, Linear,
    LinearConfig, Nonlinearity, StochasticDepth, queries_keys_values,
};
use crate::{Builder, Error, Init, MemoryStrategy, Module, Result, options};

const NORMAL: Init = Init::Normal { deviation: 0.02 };
const LINEAR: LinearConfig = LinearConfig { init: NORMAL, bias: Some(Init::Constant(0.0)) };

/// What is added to the scores of tokens that are neighbours only because the map was shifted.
const HIDDEN: f64 = -100.0;

/// No side of a window is larger.
const LARGEST_WINDOW: usize = 64;

options! {
    /// A Swin transformer: attention within windows, shifted in every other block, on maps that get
    /// smaller from stage to stage.
    pub struct Swin {
        /// Features of a token in the first stage; each further stage doubles them.
        width: usize = 96,
        /// Number of blocks of each stage.
        depths: Vec<usize> = vec![2, 2, 6, 2],
        /// Heads of attention in the first stage, which divide the width; each further stage doubles them.
        heads: usize = 3,
        /// Side of a window, in tokens.
        window: usize = 7,
        /// Side of a patch in pixels.
        patch: usize = 4,
        /// Probability that a sample skips a part of a block, in the last one; it grows from 0.
        stochastic_depth: f64 = 0.2,
        /// The non-linearity of feed-forward parts: `gelu`, `gelu_tanh` or `silu`.
        activation: Nonlinearity = Nonlinearity::Gelu,
    }
}

impl Architecture for Swin {
    fn name(&self) -> &'static str {
        "swin"
    }

    fn takes(&self) -> Takes {
        Takes::Images
    }

    fn check(&self) -> Result<(), Fault> {
        Fault::unless_within("width", self.width, 1..=LARGEST)?;
        Fault::unless_within("depths", self.depths.len(), 1..=8)?;
        for &depth in &self.depths {
            Fault::unless_within("depths", depth, 1..=LARGEST)?;
        }
        Fault::unless_within("heads", self.heads, 1..=LARGEST)?;
        Fault::unless_within("window", self.window, 1..=LARGEST_WINDOW)?;
        Fault::unless_within("patch", self.patch, 1..=LARGEST_PATCH)?;
        Fault::unless_probability("stochastic_depth", self.stochastic_depth)
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
        let (features, parts) = (builder.pp("features"), self.parts());
        let places: Vec<Builder> = parts.iter().map(|part| part.place(&features)).collect();
        let stem = features.pp(0);
        let patches = Conv2dConfig { stride: self.patch, ..Conv2dConfig::default() };
        let width = self.width << (self.depths.len() - 1);
        Ok(Network::Images(Box::new(Layers {
            patches: Conv2d::with(&stem.pp(0), in_channels, self.width, self.patch, patches)?,
            patch_norm: LayerNorm::new(&stem.pp(2), self.width)?,
            parts: CheckpointedBlocks::new(
                builder,
                &places,
                strategy.checkpoint.as_ref(),
                [],
                |number, builder| self.part(parts[number], builder),
            )?,
            norm: LayerNorm::new(&builder.pp("norm"), width)?,
            head: Linear::with(&builder.pp("head"), width, classes, LINEAR)?,
        })))
    }
}

impl Swin {
    /// The parts of the network in order.
    fn parts(&self) -> Vec<PartAt> {
        let last = self.depths.iter().sum::<usize>() - 1;
        let mut number = 0;
        let mut parts = Vec::new();
        for (stage, &depth) in self.depths.iter().enumerate() {
            if stage > 0 {
                parts.push(PartAt::Merging { stage });
            }
            for index in 0..depth {
                let share = if last == 0 { 0.0 } else { number as f64 / last as f64 };
                parts.push(PartAt::Block { stage, index, skip: self.stochastic_depth * share });
                number += 1;
            }
        }
        parts
    }

    fn part(&self, at: PartAt, builder: &Builder) -> Result<Part> {
        Ok(match at {
            PartAt::Merging { stage } => {
                Part::Merging(Merging::new(builder, self.width << (stage - 1))?)
            }
            PartAt::Block { stage, index, skip } => {
                let shift = if index % 2 == 1 { self.window / 2 } else { 0 };
                Part::Block(Box::new(Block::new(builder, self, stage, shift, skip)?))
            }
        })
    }
}

/// Which part of the network.
#[derive(Clone, Copy)]
enum PartAt {
    /// That before a stage.
    Merging { stage: usize },
    /// A block of a stage, and the probability of skipping it.
    Block { stage: usize, index: usize, skip: f64 },
}

impl PartAt {
    fn place(self, features: &Builder) -> Builder {
        match self {
            PartAt::Merging { stage } => features.pp(2 * stage),
            PartAt::Block { stage, index, .. } => features.pp(2 * stage + 1).pp(index),
        }
    }
}

struct Layers {
    patches: Conv2d,
    patch_norm: LayerNorm,
    parts: CheckpointedBlocks<Part>,
    norm: LayerNorm,
    head: Linear,
}

impl Module for Layers {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        let mut x = op::permute(&self.patches.forward(x)?, &[0, 2, 3, 1])?;
        x = self.patch_norm.forward(&x)?;
        x = self.parts.forward_owned(x)?;
        x = self.norm.forward(&x)?;
        let (samples, height, width, features) = map_of(&x)?;
        x = op::reshape(&x, &[samples, height * width, features])?;
        self.head.forward(&op::mean_axis(&x, 1)?)
    }
}

/// Samples, height, width and features of a map of tokens.
fn map_of(x: &Activation) -> Result<(usize, usize, usize, usize)> {
    match *x.dims() {
        [samples, height, width, features] => Ok((samples, height, width, features)),
        ref other => {
            let reason = format!("a map (N, height, width, features) expected, {other:?} found");
            Err(Error::Layer { layer: "features".to_owned(), reason })
        }
    }
}

enum Part {
    Merging(Merging),
    Block(Box<Block>),
}

impl Module for Part {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        match self {
            Part::Merging(merging) => merging.forward(x),
            Part::Block(block) => block.forward(x),
        }
    }

    fn forward_owned(&self, x: Activation) -> Result<Activation> {
        match self {
            Part::Merging(merging) => merging.forward_owned(x),
            Part::Block(block) => block.forward_owned(x),
        }
    }
}

/// Each square of four tokens as one, of twice the features.
struct Merging {
    norm: LayerNorm,
    reduction: Linear,
}

impl Merging {
    fn new(builder: &Builder, features: usize) -> Result<Self> {
        let config = LinearConfig { bias: None, ..LINEAR };
        let (four, two) = (4 * features, 2 * features);
        Ok(Self {
            norm: LayerNorm::new(&builder.pp("norm"), four)?,
            reduction: Linear::with(&builder.pp("reduction"), four, two, config)?,
        })
    }
}

impl Module for Merging {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        self.forward_owned(x.clone())
    }

    /// A map with an odd side is filled up with zeros.
    fn forward_owned(&self, mut x: Activation) -> Result<Activation> {
        let (_, height, width, _) = map_of(&x)?;
        x = op::pad(&op::pad(&x, 1, height % 2)?, 2, width % 2)?;
        let (samples, height, width, features) = map_of(&x)?;
        let (rows, columns) = (height / 2, width / 2);
        x = op::reshape(&x, &[samples, rows, 2, columns, 2, features])?;
        // The first column of a square comes before the second.
        x = op::permute(&x, &[0, 1, 3, 4, 2, 5])?;
        x = op::reshape(&x, &[samples, rows, columns, 4 * features])?;
        self.reduction.forward_owned(self.norm.forward_owned(x)?)
    }
}

/// Attention within windows and a feed-forward part, each with a norm before it and a shortcut around
/// both.
struct Block {
    norm1: LayerNorm,
    attention: WindowAttention,
    attention_depth: StochasticDepth,
    norm2: LayerNorm,
    mlp: FeedForward,
    mlp_depth: StochasticDepth,
}

impl Block {
    fn new(
        builder: &Builder,
        options: &Swin,
        stage: usize,
        shift: usize,
        skip: f64,
    ) -> Result<Self> {
        let width = options.width << stage;
        let feed_forward = FeedForwardConfig {
            names: ["0", "3"],
            linear: [LINEAR; 2],
            activation: options.activation,
            ..FeedForwardConfig::default()
        };
        let depth =
            |name: &str| StochasticDepth::new(&builder.pp("stochastic_depth").pp(name), skip);
        Ok(Self {
            norm1: LayerNorm::new(&builder.pp("norm1"), width)?,
            attention: WindowAttention::new(&builder.pp("attn"), options, stage, shift)?,
            attention_depth: depth("attn")?,
            norm2: LayerNorm::new(&builder.pp("norm2"), width)?,
            mlp: FeedForward::with(&builder.pp("mlp"), width, 4 * width, feed_forward)?,
            mlp_depth: depth("mlp")?,
        })
    }
}

impl Module for Block {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        self.forward_owned(x.clone())
    }

    fn forward_owned(&self, mut x: Activation) -> Result<Activation> {
        let mut y = self.attention.forward_owned(self.norm1.forward(&x)?)?;
        x = op::add(x, self.attention_depth.forward_owned(y)?)?;
        y = self.mlp.forward_owned(self.norm2.forward(&x)?)?;
        Ok(op::add(x, self.mlp_depth.forward_owned(y)?)?)
    }
}

/// Attention within each window of a map that is shifted in a circle, with a bias for each distance.
struct WindowAttention {
    qkv: Linear,
    attention: Attention,
    table: Learned,
    proj: Linear,
    window: usize,
    shift: usize,
}

impl WindowAttention {
    fn new(builder: &Builder, options: &Swin, stage: usize, shift: usize) -> Result<Self> {
        let (width, heads, window) =
            (options.width << stage, options.heads << stage, options.window);
        let distances = (2 * window - 1).pow(2);
        let table = builder.pp("relative_position_bias_table");
        Ok(Self {
            qkv: Linear::with(&builder.pp("qkv").auxiliary(4), width, 3 * width, LINEAR)?,
            table: Learned::new(&table, &[distances, heads], NORMAL)?,
            attention: Attention::new(builder, width, heads)?,
            proj: Linear::with(&builder.pp("proj").auxiliary(3), width, width, LINEAR)?,
            window,
            shift,
        })
    }

    /// The attention of each window of maps that are whole windows.
    fn attend(&self, windows: Activation, mask: &Tensor) -> Result<Activation> {
        let inputs = queries_keys_values(self.qkv.forward_owned(windows)?)?;
        let index = distances(self.window, mask.device())?;
        let (table, all) = (self.table.value(), op::Visible::default());
        let mixed = self.attention.forward_with(inputs, &all, |scores| {
            Ok(op::relative_bias(&scores, &table, &index, mask)?)
        })?;
        self.proj.forward(&mixed)
    }
}

impl Module for WindowAttention {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        self.forward_owned(x.clone())
    }

    /// Maps that are not whole windows are filled up with zeros, to which attention attends.
    fn forward_owned(&self, mut x: Activation) -> Result<Activation> {
        let (samples, own_height, own_width, features) = map_of(&x)?;
        let side = self.window;
        let lacking = |size: usize| size.next_multiple_of(side) - size;
        x = op::pad(&op::pad(&x, 1, lacking(own_height))?, 2, lacking(own_width))?;
        let (_, height, width, _) = map_of(&x)?;
        // A map of one window is not shifted.
        let shifted = |size: usize| if size > side { self.shift } else { 0 };
        let (down, right) = (shifted(height), shifted(width));
        x = op::roll(&op::roll(&x, 1, height - down)?, 2, width - right)?;

        let (rows, columns) = (height / side, width / side);
        x = op::reshape(&x, &[samples, rows, side, columns, side, features])?;
        x = op::permute(&x, &[0, 1, 3, 2, 4, 5])?;
        x = op::reshape(&x, &[samples * rows * columns, side * side, features])?;
        let mask = mask((height, down), (width, right), side, x.data())?;
        x = self.attend(x, &mask)?;

        x = op::reshape(&x, &[samples, rows, columns, side, side, features])?;
        x = op::permute(&x, &[0, 1, 3, 2, 4, 5])?;
        x = op::reshape(&x, &[samples, height, width, features])?;
        x = op::roll(&op::roll(&x, 1, down)?, 2, right)?;
        x = if height > own_height { op::slice(&x, 1, 0..own_height)? } else { x };
        if width > own_width { Ok(op::slice(&x, 2, 0..own_width)?) } else { Ok(x) }
    }
}

/// The row of the table of distances for each query and key of a window: u32 of (tokens, tokens).
fn distances(side: usize, device: &Device) -> Result<Tensor> {
    let tokens = side * side;
    let place = |token: usize| (token / side, token % side);
    let row = |at: usize| {
        let ((y, x), (key_y, key_x)) = (place(at / tokens), place(at % tokens));
        ((y + side - 1 - key_y) * (2 * side - 1) + x + side - 1 - key_x) as u32
    };
    let rows: Vec<u32> = (0..tokens * tokens).map(row).collect();
    Ok(Tensor::from_vec(rows, (tokens, tokens), device)?)
}

/// What is added to the scores of a map's windows (windows, tokens, tokens), for a `(size, shift)` of its
/// height and its width: nothing within what was side by side before the map was shifted.
fn mask(
    height: (usize, usize),
    width: (usize, usize),
    side: usize,
    like: &Tensor,
) -> Result<Tensor> {
    let region = |(size, shift): (usize, usize), at: usize| {
        if shift == 0 || at + side < size {
            0
        } else if at + shift < size {
            1
        } else {
            2
        }
    };
    let (columns, tokens) = (width.0 / side, side * side);
    let windows = height.0 / side * columns;
    let mut values = vec![0.0; windows * tokens * tokens];
    if height.1 + width.1 > 0 {
        for (window, values) in values.chunks_exact_mut(tokens * tokens).enumerate() {
            let (top, left) = (window / columns * side, window % columns * side);
            let of = |token: usize| {
                (region(height, top + token / side), region(width, left + token % side))
            };
            let regions: Vec<_> = (0..tokens).map(of).collect();
            for (at, value) in values.iter_mut().enumerate() {
                if regions[at / tokens] != regions[at % tokens] {
                    *value = HIDDEN;
                }
            }
        }
    }
    let mask = Tensor::from_vec(values, (windows, tokens, tokens), like.device())?;
    Ok(mask.to_dtype(like.dtype())?)
}
