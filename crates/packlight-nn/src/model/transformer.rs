//! A pre-norm encoder-decoder transformer (Vaswani et al., "Attention is all you need", NeurIPS
//! 2017), with the names and initial distributions of the implementation that Woo and Jeon (ICLR
//! 2023) trained.

use candle_core::{DType, Tensor, Var};
use packlight_autograd::{Activation, op};
use packlight_spec::Fault;

use super::facts::LARGEST;
use super::patches::check_heads;
use super::{Architecture, Blocks, DataFacts, Network, PairModule, Takes};
use crate::checkpointed::CheckpointedBlocks;
use crate::layer::{
    Attention, Dropout, Embedding, FeedForward, FeedForwardConfig, LayerNorm, Linear, LinearConfig,
    Nonlinearity,
};
use crate::{Builder, Error, Init, MemoryStrategy, Module, Result, options};

/// The token that pads shorter sequences: attention and the loss ignore it.
pub const PADDING: u32 = 0;

/// The number of positions with an embedding.
const POSITIONS: usize = 5000;

options! {
    /// A transformer from one sequence of tokens to another.
    pub struct Transformer {
        /// Features of a token.
        width: usize = 512,
        /// Number of layers of the encoder, and of the decoder.
        depth: usize = 6,
        /// Heads of attention, which divide the width.
        heads: usize = 8,
        /// Share of the features that training drops.
        dropout: f64 = 0.1,
        /// The non-linearity of feed-forward parts: `gelu`, `gelu_tanh` or `silu`.
        activation: Nonlinearity = Nonlinearity::Gelu,
    }
}

impl Architecture for Transformer {
    fn name(&self) -> &'static str {
        "transformer"
    }

    fn takes(&self) -> Takes {
        Takes::Pairs { source_table: "src_embedding.embeddings_table" }
    }

    fn check(&self) -> Result<(), Fault> {
        Fault::unless_within("width", self.width, 1..=LARGEST)?;
        Fault::unless_within("depth", self.depth, 1..=LARGEST)?;
        Fault::unless_within("heads", self.heads, 1..=LARGEST)?;
        Fault::unless_probability("dropout", self.dropout)
    }

    fn classifier(&self) -> String {
        "decoder_generator.linear".to_owned()
    }

    fn targets(&self) -> op::Targets {
        op::Targets { smoothing: 0.1, ignored: Some(PADDING) }
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
        let (source_vocabulary, classes) = (data.source_vocabulary()?, data.classes()?);
        let &Transformer { width, depth, .. } = self;
        let (encoder, decoder) = (builder.pp("encoder"), builder.pp("decoder"));
        let encoder_layers = encoder.pp("encoder_layers").numbered(depth);
        let decoder_layers = decoder.pp("decoder_layers").numbered(depth);
        let checkpoint = strategy.checkpoint.as_ref();
        Ok(Network::Pairs(Box::new(Layers {
            source: TokenEmbedding::new(builder, "src", source_vocabulary, self)?,
            encoder: CheckpointedBlocks::new(
                &encoder,
                &encoder_layers,
                checkpoint,
                [],
                |_, builder| EncoderLayer::new(builder, self),
            )?,
            encoder_norm: LayerNorm::new(&encoder.pp("norm"), width)?,
            target: TokenEmbedding::new(builder, "trg", classes, self)?,
            decoder: CheckpointedBlocks::new(
                &decoder,
                &decoder_layers,
                checkpoint,
                ["memory"],
                |_, builder| DecoderLayer::new(builder, self),
            )?,
            decoder_norm: LayerNorm::new(&decoder.pp("norm"), width)?,
            generator: linear(&builder.pp("decoder_generator").pp("linear"), width, classes)?,
        })))
    }
}

struct Layers {
    source: TokenEmbedding,
    encoder: CheckpointedBlocks<EncoderLayer>,
    encoder_norm: LayerNorm,
    target: TokenEmbedding,
    /// Each layer also reads the encoder's output.
    decoder: CheckpointedBlocks<DecoderLayer, 1>,
    decoder_norm: LayerNorm,
    generator: Linear,
}

impl PairModule for Layers {
    fn forward(&self, source: &Activation, target: &Activation) -> Result<Activation> {
        if !matches!((source.dims(), target.dims()), ([n, _], [m, _]) if n == m) {
            let reason = format!(
                "sources (N, length) and as many targets expected, {:?} and {:?} found",
                source.dims(),
                target.dims()
            );
            return Err(Error::Layer { layer: self.source.tokens.name().to_owned(), reason });
        }
        let no_padding = op::Visible { lengths: Some(lengths(source.data())?), causal: false };
        let of_source = no_padding.clone();

        let x = self.source.forward(source)?;
        let x =
            self.encoder.forward_with(x, [], move |layer, x, []| layer.forward(x, &of_source))?;
        let memory = self.encoder_norm.forward_owned(x)?;
        let x = self.target.forward(target)?;
        let x = self.decoder.forward_with(x, [&memory], move |layer, x, [memory]| {
            layer.forward(x, memory, &no_padding)
        })?;
        drop(memory); // no layer reads it any more
        self.generator.forward_owned(self.decoder_norm.forward_owned(x)?)
    }
}

/// The length of each sequence (N, length) without the padding at its end.
pub(super) fn lengths(tokens: &Tensor) -> Result<Vec<usize>> {
    let sequences = tokens.to_dtype(DType::U32)?.to_vec2::<u32>()?;
    let length =
        |tokens: Vec<u32>| tokens.iter().rposition(|&t| t != PADDING).map_or(0, |at| at + 1);
    Ok(sequences.into_iter().map(length).collect())
}

/// Token and position embeddings.
struct TokenEmbedding {
    tokens: Embedding,
    positions: Var,
    scale: f64,
    dropout: Dropout,
}

impl TokenEmbedding {
    fn new(
        builder: &Builder,
        side: &str,
        vocabulary: usize,
        options: &Transformer,
    ) -> Result<Self> {
        let width = options.width;
        let table = builder.pp(format!("{side}_embedding")).pp("embeddings_table");
        let positions = builder.pp(format!("{side}_pos_embedding"));
        let xavier = Init::xavier_uniform(width, vocabulary);
        Ok(Self {
            tokens: Embedding::with(&table, vocabulary, width, xavier)?,
            positions: positions.buffer(
                "positional_encodings_table",
                &[POSITIONS, width],
                Init::Sinusoid,
            )?,
            scale: (width as f64).sqrt(),
            dropout: Dropout::new(&positions.pp("dropout"), options.dropout)?,
        })
    }
}

impl Module for TokenEmbedding {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        let length = x.dims().last().copied().unwrap_or(0);
        if length > POSITIONS {
            let reason = format!("a sequence of {length} tokens; {POSITIONS} at most");
            return Err(Error::Layer { layer: "positional_encodings_table".into(), reason });
        }
        let embedded = op::scale(&self.tokens.forward(x)?, self.scale)?;
        let positions = self.positions.as_detached_tensor().narrow(0, 0, length)?.unsqueeze(0)?;
        self.dropout.forward(&op::add_parameter(&embedded, &positions)?)
    }
}

/// `x + dropout(f(norm(x)))`.
struct Sublayer {
    norm: LayerNorm,
    dropout: Dropout,
}

impl Sublayer {
    /// Makes `f` between the norm and the dropout, because layers are made in forward order.
    fn around<F>(
        builder: &Builder,
        number: usize,
        options: &Transformer,
        f: impl FnOnce() -> Result<F>,
    ) -> Result<(Self, F)> {
        let builder = builder.pp("sublayers").pp(number);
        let norm = LayerNorm::new(&builder.pp("norm"), options.width)?;
        let f = f()?;
        let dropout = Dropout::new(&builder.pp("dropout"), options.dropout)?;
        Ok((Self { norm, dropout }, f))
    }

    fn forward(
        &self,
        x: Activation,
        f: impl FnOnce(Activation) -> Result<Activation>,
    ) -> Result<Activation> {
        let y = self.dropout.forward_owned(f(self.norm.forward(&x)?)?)?;
        Ok(op::add(x, y)?)
    }
}

struct EncoderLayer {
    attention: (Sublayer, Projected),
    feed_forward: (Sublayer, FeedForward),
}

impl EncoderLayer {
    fn new(builder: &Builder, options: &Transformer) -> Result<Self> {
        let attention = builder.pp("multi_headed_attention");
        Ok(Self {
            attention: Sublayer::around(builder, 0, options, || {
                Projected::new(&attention, options)
            })?,
            feed_forward: Sublayer::around(builder, 1, options, || feed_forward(builder, options))?,
        })
    }

    fn forward(&self, mut x: Activation, visible: &op::Visible) -> Result<Activation> {
        let (around, attention) = &self.attention;
        x = around.forward(x, |x| attention.forward(x.clone(), x, visible))?;
        let (around, feed_forward) = &self.feed_forward;
        around.forward(x, |x| feed_forward.forward_owned(x))
    }
}

struct DecoderLayer {
    own: (Sublayer, Projected),
    source: (Sublayer, Projected),
    feed_forward: (Sublayer, FeedForward),
}

impl DecoderLayer {
    fn new(builder: &Builder, options: &Transformer) -> Result<Self> {
        let attention = |name: &str| Projected::new(&builder.pp(name), options);
        Ok(Self {
            own: Sublayer::around(builder, 0, options, || attention("trg_multi_headed_attention"))?,
            source: Sublayer::around(builder, 1, options, || {
                attention("src_multi_headed_attention")
            })?,
            feed_forward: Sublayer::around(builder, 2, options, || feed_forward(builder, options))?,
        })
    }

    /// Padding is at the end, and no token attends to later ones, so the target needs no lengths.
    fn forward(
        &self,
        mut x: Activation,
        memory: &Activation,
        visible: &op::Visible,
    ) -> Result<Activation> {
        let before = op::Visible { lengths: None, causal: true };
        let (around, attention) = &self.own;
        x = around.forward(x, |x| attention.forward(x.clone(), x, &before))?;
        let (around, attention) = &self.source;
        x = around.forward(x, |x| attention.forward(x, memory.clone(), visible))?;
        let (around, feed_forward) = &self.feed_forward;
        around.forward(x, |x| feed_forward.forward_owned(x))
    }
}

/// Attention with its four projections.
struct Projected {
    qkv: [Linear; 3],
    attention: Attention,
    out: Linear,
}

impl Projected {
    fn new(builder: &Builder, options: &Transformer) -> Result<Self> {
        let width = options.width;
        let net =
            |number: usize| linear(&builder.pp("qkv_nets").pp(number).auxiliary(4), width, width);
        Ok(Self {
            qkv: [net(0)?, net(1)?, net(2)?],
            attention: Attention::with(builder, width, options.heads, options.dropout)?,
            out: linear(&builder.pp("out_projection_net").auxiliary(3), width, width)?,
        })
    }

    fn forward(
        &self,
        x: Activation,
        memory: Activation,
        visible: &op::Visible,
    ) -> Result<Activation> {
        let [query, key, value] = &self.qkv;
        let (queries, keys) = (query.forward_owned(x)?, key.forward(&memory)?);
        let values = value.forward_owned(memory)?;
        self.out.forward_owned(self.attention.forward(queries, keys, values, visible)?)
    }
}

fn feed_forward(builder: &Builder, options: &Transformer) -> Result<FeedForward> {
    let &Transformer { width, activation, dropout, .. } = options;
    let hidden = 4 * width;
    let config = FeedForwardConfig {
        names: ["linear1", "linear2"],
        linear: [glorot(width, hidden), glorot(hidden, width)],
        activation,
        dropout,
        ..FeedForwardConfig::default()
    };
    FeedForward::with(&builder.pp("pointwise_net"), width, hidden, config)
}

fn linear(builder: &Builder, features: usize, out: usize) -> Result<Linear> {
    Linear::with(builder, features, out, glorot(features, out))
}

/// Glorot's initial weight and PyTorch's initial bias.
fn glorot(features: usize, out: usize) -> LinearConfig {
    LinearConfig { init: Init::xavier_uniform(features, out), ..LinearConfig::default() }
}
