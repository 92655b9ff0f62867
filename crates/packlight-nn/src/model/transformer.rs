//! An encoder-decoder transformer with its norms before its parts (Vaswani et al., "Attention is
//! all you need", NeurIPS 2017), with the names and initial distributions of the implementation
//! that Woo and Jeon (ICLR 2023) trained.

use candle_core::{DType, Tensor, Var};
use packlight_autograd::{Activation, op};

use super::sizes::TransformerSizes;
use crate::checkpointed::CheckpointedBlocks;
use crate::layer::{
    Attention, Dropout, Embedding, FeedForward, FeedForwardConfig, LayerNorm, Linear, LinearConfig,
};
use crate::{Builder, Error, Init, MemoryStrategy, Module, Result};

/// The token that fills up sequences which are shorter than others: it is neither seen nor counted.
pub const PADDING: u32 = 0;

/// Places that have a position embedding.
const POSITIONS: usize = 5000;

/// A transformer from one sequence of tokens to another.
pub struct Transformer {
    source: TokenEmbedding,
    encoder: CheckpointedBlocks<EncoderLayer>,
    encoder_norm: LayerNorm,
    target: TokenEmbedding,
    /// Each layer reads the encoder's output too.
    decoder: CheckpointedBlocks<DecoderLayer, 1>,
    decoder_norm: LayerNorm,
    generator: Linear,
}

impl Transformer {
    pub(super) fn new(
        builder: &Builder,
        sizes: &TransformerSizes,
        strategy: &MemoryStrategy,
    ) -> Result<Self> {
        strategy.refuse_residual("transformer")?;
        let &TransformerSizes { source_vocabulary, classes, width, depth, .. } = sizes;
        let (encoder, decoder) = (builder.pp("encoder"), builder.pp("decoder"));
        let (encoder_layers, decoder_layers) =
            (encoder.pp("encoder_layers"), decoder.pp("decoder_layers"));
        Ok(Self {
            source: TokenEmbedding::new(builder, "src", source_vocabulary, sizes)?,
            encoder: CheckpointedBlocks::new(&encoder, depth, strategy.checkpoint, [], |number| {
                EncoderLayer::new(&encoder_layers.pp(number), sizes)
            })?,
            encoder_norm: LayerNorm::new(&encoder.pp("norm"), width)?,
            target: TokenEmbedding::new(builder, "trg", classes, sizes)?,
            decoder: CheckpointedBlocks::new(
                &decoder,
                depth,
                strategy.checkpoint,
                ["memory"],
                |number| DecoderLayer::new(&decoder_layers.pp(number), sizes),
            )?,
            decoder_norm: LayerNorm::new(&decoder.pp("norm"), width)?,
            generator: linear(&builder.pp("decoder_generator").pp("linear"), width, classes)?,
        })
    }
}

impl Transformer {
    /// Logits (N, target length, classes) of the tokens that come next, for sources
    /// (N, source length) and targets (N, target length) as far as they are known, both u32.
    ///
    /// # Errors
    /// If these are not so many pairs of sequences, a token is in no vocabulary, or a sequence is
    /// longer than there are positions.
    pub fn forward(&self, source: &Activation, target: &Activation) -> Result<Activation> {
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
        let memory = self.encoder_norm.forward(&x)?;
        let x = self.target.forward(target)?;
        let x = self.decoder.forward_with(x, [&memory], move |layer, x, [memory]| {
            layer.forward(x, memory, &no_padding)
        })?;
        self.generator.forward(&self.decoder_norm.forward(&x)?)
    }
}

/// How many tokens of each sequence (N, length) there are up to the last that is no padding.
fn lengths(tokens: &Tensor) -> Result<Vec<usize>> {
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
        sizes: &TransformerSizes,
    ) -> Result<Self> {
        let width = sizes.width;
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
            dropout: Dropout::new(&positions.pp("dropout"), sizes.dropout)?,
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
    /// `f` made between the norm and the dropout, as layers stand in forward order.
    fn around<F>(
        builder: &Builder,
        number: usize,
        sizes: &TransformerSizes,
        f: impl FnOnce() -> Result<F>,
    ) -> Result<(Self, F)> {
        let builder = builder.pp("sublayers").pp(number);
        let norm = LayerNorm::new(&builder.pp("norm"), sizes.width)?;
        let f = f()?;
        let dropout = Dropout::new(&builder.pp("dropout"), sizes.dropout)?;
        Ok((Self { norm, dropout }, f))
    }

    fn forward(
        &self,
        x: &Activation,
        f: impl FnOnce(&Activation) -> Result<Activation>,
    ) -> Result<Activation> {
        let y = self.dropout.forward(&f(&self.norm.forward(x)?)?)?;
        Ok(op::add(x, &y)?)
    }
}

struct EncoderLayer {
    attention: (Sublayer, Projected),
    feed_forward: (Sublayer, FeedForward),
}

impl EncoderLayer {
    fn new(builder: &Builder, sizes: &TransformerSizes) -> Result<Self> {
        let attention = builder.pp("multi_headed_attention");
        Ok(Self {
            attention: Sublayer::around(builder, 0, sizes, || Projected::new(&attention, sizes))?,
            feed_forward: Sublayer::around(builder, 1, sizes, || feed_forward(builder, sizes))?,
        })
    }

    fn forward(&self, x: &Activation, visible: &op::Visible) -> Result<Activation> {
        let (around, attention) = &self.attention;
        let x = around.forward(x, |x| attention.forward(x, x, visible))?;
        let (around, feed_forward) = &self.feed_forward;
        around.forward(&x, |x| feed_forward.forward(x))
    }
}

struct DecoderLayer {
    own: (Sublayer, Projected),
    source: (Sublayer, Projected),
    feed_forward: (Sublayer, FeedForward),
}

impl DecoderLayer {
    fn new(builder: &Builder, sizes: &TransformerSizes) -> Result<Self> {
        let attention = |name: &str| Projected::new(&builder.pp(name), sizes);
        Ok(Self {
            own: Sublayer::around(builder, 0, sizes, || attention("trg_multi_headed_attention"))?,
            source: Sublayer::around(builder, 1, sizes, || {
                attention("src_multi_headed_attention")
            })?,
            feed_forward: Sublayer::around(builder, 2, sizes, || feed_forward(builder, sizes))?,
        })
    }

    /// Padding stands at the end, where what comes before it does not look, so that the target
    /// needs no lengths.
    fn forward(
        &self,
        x: &Activation,
        memory: &Activation,
        visible: &op::Visible,
    ) -> Result<Activation> {
        let before = op::Visible { lengths: None, causal: true };
        let (around, attention) = &self.own;
        let x = around.forward(x, |x| attention.forward(x, x, &before))?;
        let (around, attention) = &self.source;
        let x = around.forward(&x, |x| attention.forward(x, memory, visible))?;
        let (around, feed_forward) = &self.feed_forward;
        around.forward(&x, |x| feed_forward.forward(x))
    }
}

/// Attention with its four projections.
struct Projected {
    qkv: [Linear; 3],
    attention: Attention,
    out: Linear,
}

impl Projected {
    fn new(builder: &Builder, sizes: &TransformerSizes) -> Result<Self> {
        let width = sizes.width;
        let net =
            |number: usize| linear(&builder.pp("qkv_nets").pp(number).auxiliary(4), width, width);
        Ok(Self {
            qkv: [net(0)?, net(1)?, net(2)?],
            attention: Attention::with(builder, width, sizes.heads, sizes.dropout)?,
            out: linear(&builder.pp("out_projection_net").auxiliary(3), width, width)?,
        })
    }

    fn forward(
        &self,
        x: &Activation,
        memory: &Activation,
        visible: &op::Visible,
    ) -> Result<Activation> {
        let [query, key, value] = &self.qkv;
        let (queries, keys) = (query.forward(x)?, key.forward(memory)?);
        let mixed = self.attention.forward(&queries, &keys, &value.forward(memory)?, visible)?;
        self.out.forward(&mixed)
    }
}

fn feed_forward(builder: &Builder, sizes: &TransformerSizes) -> Result<FeedForward> {
    let &TransformerSizes { width, activation, dropout, .. } = sizes;
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

/// Glorot's weight and PyTorch's bias.
fn glorot(features: usize, out: usize) -> LinearConfig {
    LinearConfig { init: Init::xavier_uniform(features, out), ..LinearConfig::default() }
}
