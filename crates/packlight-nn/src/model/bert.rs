//! BERT (Devlin et al., "BERT: pre-training of deep bidirectional transformers for language
//! understanding", NAACL 2019) as a classifier of texts, with the names and initial distributions of
//! Hugging Face's `BertForSequenceClassification`.

use packlight_autograd::{Activation, op};
use packlight_spec::Fault;

use super::facts::LARGEST;
use super::patches::check_heads;
use super::transformer::lengths;
use super::{Architecture, Blocks, DataFacts, Network, Takes};
use crate::checkpointed::CheckpointedBlocks;
use crate::layer::{
    Attention, Dropout, Embedding, LayerNorm, Linear, LinearConfig, Nonlinearity, Tanh,
};
use crate::{Builder, Error, Init, MemoryStrategy, Module, Result, options};

const NORMAL: Init = Init::Normal { deviation: 0.02 };
const LINEAR: LinearConfig = LinearConfig { init: NORMAL, bias: Some(Init::Constant(0.0)) };
const EPSILON: f64 = 1e-12;

/// The number of kinds of tokens. Ours are all of the first kind, as in a single text.
const TYPES: usize = 2;

/// The tensors of the heads that published files were trained with.
const OTHER_HEADS: [&str; 11] = [
    "cls.predictions.bias",
    "cls.predictions.decoder.weight",
    "cls.predictions.decoder.bias",
    "cls.predictions.transform.dense.weight",
    "cls.predictions.transform.dense.bias",
    "cls.predictions.transform.LayerNorm.weight",
    "cls.predictions.transform.LayerNorm.bias",
    "cls.predictions.transform.LayerNorm.gamma",
    "cls.predictions.transform.LayerNorm.beta",
    "cls.seq_relationship.weight",
    "cls.seq_relationship.bias",
];

options! {
    /// BERT: the class of a text, from its first token after blocks in which each token sees all.
    pub struct Bert {
        /// Features of a token.
        width: usize = 768,
        /// Number of blocks.
        depth: usize = 12,
        /// Heads of attention, which divide the width.
        heads: usize = 12,
        /// Number of positions with an embedding: no text is longer.
        context: usize = 512,
        /// Share of the features, and of attention's probabilities, that training drops.
        dropout: f64 = 0.1,
        /// The non-linearity of feed-forward parts: `gelu`, `gelu_tanh` or `silu`.
        activation: Nonlinearity = Nonlinearity::Gelu,
    }
}

impl Architecture for Bert {
    fn name(&self) -> &'static str {
        "bert"
    }

    fn takes(&self) -> Takes {
        Takes::LabelledText { table: "bert.embeddings.word_embeddings" }
    }

    fn check(&self) -> Result<(), Fault> {
        Fault::unless_within("width", self.width, 1..=LARGEST)?;
        Fault::unless_within("depth", self.depth, 1..=LARGEST)?;
        Fault::unless_within("heads", self.heads, 1..=LARGEST)?;
        Fault::unless_within("context", self.context, 1..=LARGEST)?;
        Fault::unless_probability("dropout", self.dropout)
    }

    fn classifier(&self) -> String {
        "classifier".to_owned()
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
        let (vocabulary, classes) = (data.source_vocabulary()?, data.classes()?);
        let &Bert { width, depth, dropout, .. } = self;
        let body = builder.pp("bert");
        let (embeddings, encoder) = (body.pp("embeddings"), body.pp("encoder"));
        let table =
            |name: &str, entries| Embedding::with(&embeddings.pp(name), entries, width, NORMAL);
        let pooler = body.pp("pooler");
        let layers = Layers {
            tokens: table("word_embeddings", vocabulary)?,
            positions: table("position_embeddings", self.context)?,
            types: table("token_type_embeddings", TYPES)?,
            context: self.context,
            norm: LayerNorm::with(&embeddings.pp("LayerNorm"), width, EPSILON)?,
            dropout: Dropout::new(&embeddings.pp("dropout"), dropout)?,
            blocks: CheckpointedBlocks::new(
                &encoder,
                &encoder.pp("layer").numbered(depth),
                strategy.checkpoint.as_ref(),
                [],
                |_, builder| Block::new(builder, self),
            )?,
            pooler: Linear::with(&pooler.pp("dense"), width, width, LINEAR)?,
            pooler_activation: Tanh::new(&pooler.pp("activation"))?,
            pooler_dropout: Dropout::new(&builder.pp("dropout"), dropout)?,
            classifier: Linear::with(&builder.pp("classifier"), width, classes, LINEAR)?,
        };
        add_names_in_files(builder);
        Ok(Network::Text(Box::new(layers)))
    }
}

/// Older files call a norm's parameters `gamma` and `beta`. Files of the body alone leave `bert.` out,
/// and those of pre-training hold its heads.
fn add_names_in_files(builder: &Builder) {
    for (name, _) in builder.finish().named() {
        let older = match name.rsplit_once("LayerNorm.") {
            Some((layer, "weight")) => Some(format!("{layer}LayerNorm.gamma")),
            Some((layer, "bias")) => Some(format!("{layer}LayerNorm.beta")),
            _ => None,
        };
        for called in older.iter().map(String::as_str).chain([name]) {
            if called != name {
                builder.also_called(called, Some(name));
            }
            if let Some(short) = called.strip_prefix("bert.") {
                builder.also_called(short, Some(name));
            }
        }
    }
    for head in OTHER_HEADS {
        builder.also_called(head, None);
    }
}

struct Layers {
    tokens: Embedding,
    positions: Embedding,
    types: Embedding,
    context: usize,
    norm: LayerNorm,
    dropout: Dropout,
    blocks: CheckpointedBlocks<Block>,
    pooler: Linear,
    pooler_activation: Tanh,
    pooler_dropout: Dropout,
    classifier: Linear,
}

impl Module for Layers {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        let length = match *x.dims() {
            [_, length] if (1..=self.context).contains(&length) => length,
            [_, length] => {
                let context = self.context;
                let reason = format!(
                    "texts of {length} tokens, and the model's context is {context}; give it a larger \
                     `context`, or the data a smaller `length`"
                );
                return Err(self.misfit(reason));
            }
            _ => return Err(self.misfit(format!("tokens (N, length), not {:?}", x.dims()))),
        };
        let visible = op::Visible { lengths: Some(lengths(x.data())?), causal: false };
        let positions = self.positions.weight().narrow(0, 0, length)?.unsqueeze(0)?;
        let kind = self.types.weight().narrow(0, 0, 1)?;
        let of_each = kind.broadcast_as((length, kind.dim(1)?))?.unsqueeze(0)?;
        let mut x = op::add_parameter(&self.tokens.forward(x)?, &of_each)?;
        x = op::add_parameter(&x, &positions)?;
        x = self.dropout.forward(&self.norm.forward(&x)?)?;
        x = self.blocks.forward_with(x, [], move |block, x, []| block.forward(x, &visible))?;
        x = op::flatten(&op::slice(&x, 1, 0..1)?)?;
        x = self.pooler_activation.forward(&self.pooler.forward(&x)?)?;
        self.classifier.forward(&self.pooler_dropout.forward(&x)?)
    }
}

impl Layers {
    fn misfit(&self, reason: String) -> Error {
        Error::Layer { layer: self.positions.name().to_owned(), reason }
    }
}

/// Attention and a feed-forward part, each with a shortcut around it and a norm behind both.
struct Block {
    query: Linear,
    key: Linear,
    value: Linear,
    attention: Attention,
    proj: Linear,
    attention_dropout: Dropout,
    attention_norm: LayerNorm,
    intermediate: Linear,
    activation: Box<dyn Module>,
    output: Linear,
    dropout: Dropout,
    norm: LayerNorm,
}

impl Block {
    fn new(builder: &Builder, options: &Bert) -> Result<Self> {
        let &Bert { width, heads, dropout, activation, .. } = options;
        let attention = builder.pp("attention");
        let (own, output, intermediate) =
            (attention.pp("self"), attention.pp("output"), builder.pp("intermediate"));
        let behind = builder.pp("output");
        let projection =
            |name: &str| Linear::with(&own.pp(name).auxiliary(4), width, width, LINEAR);
        let (first, second) = (intermediate.pp("dense"), behind.pp("dense"));
        Ok(Self {
            query: projection("query")?,
            key: projection("key")?,
            value: projection("value")?,
            attention: Attention::with(&attention.pp("heads"), width, heads, dropout)?,
            proj: Linear::with(&output.pp("dense").auxiliary(3), width, width, LINEAR)?,
            attention_dropout: Dropout::new(&output.pp("dropout"), dropout)?,
            attention_norm: LayerNorm::with(&output.pp("LayerNorm"), width, EPSILON)?,
            intermediate: Linear::with(&first.auxiliary(2), width, 4 * width, LINEAR)?,
            activation: activation.layer(&intermediate.pp("act"))?,
            output: Linear::with(&second.auxiliary(1), 4 * width, width, LINEAR)?,
            dropout: Dropout::new(&behind.pp("dropout"), dropout)?,
            norm: LayerNorm::with(&behind.pp("LayerNorm"), width, EPSILON)?,
        })
    }

    fn attend(&self, x: &Activation, visible: &op::Visible) -> Result<Activation> {
        let (queries, keys) = (self.query.forward(x)?, self.key.forward(x)?);
        let mixed = self.attention.forward(queries, keys, self.value.forward(x)?, visible)?;
        self.attention_dropout.forward(&self.proj.forward(&mixed)?)
    }

    fn forward(&self, mut x: Activation, visible: &op::Visible) -> Result<Activation> {
        let mut y = self.attend(&x, visible)?;
        x = self.attention_norm.forward_owned(op::add(x, y)?)?;
        y = self.activation.forward_owned(self.intermediate.forward(&x)?)?;
        y = self.dropout.forward_owned(self.output.forward_owned(y)?)?;
        self.norm.forward_owned(op::add(x, y)?)
    }
}
