//! A decoder-only language model: GPT-2 (Radford et al., "Language models are unsupervised multitask
//! learners", 2019), with the names and initial distributions of Hugging Face's `GPT2LMHeadModel`.

use std::sync::Arc;

use packlight_autograd::{Activation, SavePoint, op};
use packlight_spec::{Fault, LayerKind};

use super::facts::LARGEST;
use super::patches::check_heads;
use super::{Architecture, Blocks, DataFacts, Network, Takes};
use crate::checkpointed::CheckpointedBlocks;
use crate::layer::{
    Attention, Dropout, Embedding, LayerNorm, Linear, LinearConfig, Nonlinearity,
    queries_keys_values,
};
use crate::{Builder, Error, Init, MemoryStrategy, Module, Result, options};

/// The standard deviation of initial weights and embeddings.
const DEVIATION: f64 = 0.02;

/// The table of tokens, which is also the weight of a tied head.
const TOKENS: &str = "transformer.wte";
const HEAD: &str = "lm_head";

options! {
    /// A language model: which token comes next, from all tokens before it.
    pub struct Gpt {
        /// Features of a token.
        width: usize = 768,
        /// Number of blocks.
        depth: usize = 12,
        /// Heads of attention, which divide the width.
        heads: usize = 12,
        /// Number of positions with an embedding: no sequence is longer.
        context: usize = 1024,
        /// Share of the features, and of attention's probabilities, that training drops.
        dropout: f64 = 0.1,
        /// The non-linearity of feed-forward parts: `gelu`, `gelu_tanh` or `silu`.
        activation: Nonlinearity = Nonlinearity::GeluTanh,
        /// Whether the head's weight is the table of tokens: `true` or `false`.
        tied: bool = true,
    }
}

impl Architecture for Gpt {
    fn name(&self) -> &'static str {
        "gpt"
    }

    fn takes(&self) -> Takes {
        Takes::Text
    }

    fn check(&self) -> Result<(), Fault> {
        Fault::unless_within("width", self.width, 1..=LARGEST)?;
        Fault::unless_within("depth", self.depth, 1..=LARGEST)?;
        Fault::unless_within("heads", self.heads, 1..=LARGEST)?;
        Fault::unless_within("context", self.context, 1..=LARGEST)?;
        Fault::unless_probability("dropout", self.dropout)
    }

    fn classifier(&self) -> String {
        if self.tied { TOKENS } else { HEAD }.to_owned()
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
        let classes = data.classes()?;
        let &Gpt { width, depth, .. } = self;
        let body = builder.pp("transformer");
        let embedding = |name: &str, entries| {
            Embedding::with(&body.pp(name), entries, width, normal(DEVIATION))
        };
        let layers = Layers {
            tokens: embedding("wte", classes)?,
            positions: embedding("wpe", self.context)?,
            context: self.context,
            dropout: Dropout::new(&body.pp("drop"), self.dropout)?,
            blocks: CheckpointedBlocks::new(
                &body,
                &body.pp("h").numbered(depth),
                strategy.checkpoint.as_ref(),
                [],
                |_, builder| Block::new(builder, self),
            )?,
            norm: LayerNorm::new(&body.pp("ln_f"), width)?,
            head: match self.tied {
                true => Head::Tied(builder.pp(HEAD).save_point(LayerKind::Linear)?),
                false => {
                    let config = LinearConfig { init: normal(DEVIATION), bias: None };
                    Head::Own(Linear::with(&builder.pp(HEAD), width, classes, config)?)
                }
            },
        };
        self.add_names_in_files(builder);
        Ok(Network::Text(Box::new(layers)))
    }
}

impl Gpt {
    /// Published files leave `transformer.` out, hold each block's mask, and may hold the table of
    /// tokens as the head's weight as well.
    fn add_names_in_files(&self, builder: &Builder) {
        for (name, _) in builder.finish().named() {
            if let Some(short) = name.strip_prefix("transformer.") {
                builder.also_called(short, Some(name));
            }
        }
        for block in 0..self.depth {
            for mask in ["bias", "masked_bias"] {
                builder.also_called(&format!("h.{block}.attn.{mask}"), None);
                builder.also_called(&format!("transformer.h.{block}.attn.{mask}"), None);
            }
        }
        if self.tied {
            builder.also_called(&format!("{HEAD}.weight"), Some(&format!("{TOKENS}.weight")));
        }
    }
}

struct Layers {
    tokens: Embedding,
    positions: Embedding,
    context: usize,
    dropout: Dropout,
    blocks: CheckpointedBlocks<Block>,
    norm: LayerNorm,
    head: Head,
}

enum Head {
    /// The table of tokens is its weight, and is frozen as that is.
    Tied(Arc<SavePoint>),
    Own(Linear),
}

impl Module for Layers {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        let length = match *x.dims() {
            [_, length] if length <= self.context => length,
            [_, length] => {
                let context = self.context;
                let reason = format!(
                    "sequences of {length} tokens, and the model's context is {context}; give it a \
                     larger `context`, or the data a smaller `length`"
                );
                return Err(self.misfit(reason));
            }
            _ => return Err(self.misfit(format!("tokens (N, length), not {:?}", x.dims()))),
        };
        let positions = self.positions.weight().narrow(0, 0, length)?.unsqueeze(0)?;
        let mut x = op::add_parameter(&self.tokens.forward(x)?, &positions)?;
        x = self.dropout.forward(&x)?;
        x = self.blocks.forward_owned(x)?;
        x = self.norm.forward(&x)?;
        match &self.head {
            Head::Tied(head) => Ok(op::linear(&x, &self.tokens.weight(), None, head)?),
            Head::Own(head) => head.forward(&x),
        }
    }
}

impl Layers {
    fn misfit(&self, reason: String) -> Error {
        Error::Layer { layer: self.positions.name().to_owned(), reason }
    }
}

/// Attention and a feed-forward part, each with a norm before it and a shortcut around both.
struct Block {
    norm1: LayerNorm,
    qkv: Linear,
    attention: Attention,
    proj: Linear,
    attention_dropout: Dropout,
    norm2: LayerNorm,
    fc: Linear,
    activation: Box<dyn Module>,
    fc_proj: Linear,
    dropout: Dropout,
}

impl Block {
    fn new(builder: &Builder, options: &Gpt) -> Result<Self> {
        let &Gpt { width, heads, dropout, activation, .. } = options;
        let (attn, mlp) = (builder.pp("attn"), builder.pp("mlp"));
        let linear = |part: &Builder, inputs, outputs, deviation| {
            let config = LinearConfig { init: normal(deviation), bias: Some(Init::Constant(0.0)) };
            Linear::transposed(part, inputs, outputs, config)
        };
        // So that the sum over all shortcuts does not grow with the depth.
        let last = DEVIATION / (2.0 * options.depth as f64).sqrt();
        Ok(Self {
            norm1: LayerNorm::new(&builder.pp("ln_1"), width)?,
            qkv: linear(&attn.pp("c_attn").auxiliary(4), width, 3 * width, DEVIATION)?,
            attention: Attention::with(&attn, width, heads, dropout)?,
            proj: linear(&attn.pp("c_proj").auxiliary(3), width, width, last)?,
            attention_dropout: Dropout::new(&attn.pp("resid_dropout"), dropout)?,
            norm2: LayerNorm::new(&builder.pp("ln_2"), width)?,
            fc: linear(&mlp.pp("c_fc").auxiliary(2), width, 4 * width, DEVIATION)?,
            activation: activation.layer(&mlp.pp("act"))?,
            fc_proj: linear(&mlp.pp("c_proj").auxiliary(1), 4 * width, width, last)?,
            dropout: Dropout::new(&mlp.pp("dropout"), dropout)?,
        })
    }

    fn attend(&self, x: Activation) -> Result<Activation> {
        let qkv = self.qkv.forward_owned(x)?;
        let [queries, keys, values] = queries_keys_values(qkv)?;
        let before = op::Visible { lengths: None, causal: true };
        let mixed = self.attention.forward(queries, keys, values, &before)?;
        self.attention_dropout.forward(&self.proj.forward(&mixed)?)
    }
}

impl Module for Block {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        self.forward_owned(x.clone())
    }

    fn forward_owned(&self, mut x: Activation) -> Result<Activation> {
        let mut y = self.attend(self.norm1.forward(&x)?)?;
        x = op::add(x, y)?;
        y = self.fc.forward_owned(self.norm2.forward(&x)?)?;
        y = self.activation.forward_owned(y)?;
        y = self.dropout.forward_owned(self.fc_proj.forward_owned(y)?)?;
        Ok(op::add(x, y)?)
    }
}

fn normal(deviation: f64) -> Init {
    Init::Normal { deviation }
}
