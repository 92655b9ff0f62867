//! What a model has to say about itself.

use packlight_autograd::{Activation, op};
use packlight_spec::Fault;

use super::{DataFacts, Options};
use crate::{Builder, Checkpointing, Error, MemoryStrategy, Module, Result};

/// A kind of model: its options, and the network that they describe.
///
/// It is implemented by a struct that [`options!`](crate::options) declares. A line in
/// [`MODELS`](super::MODELS), or [`register`](super::register) from outside this crate, makes it known
/// by name to studies and the command line.
pub trait Architecture: Options {
    /// Its name in a study and on the command line.
    fn name(&self) -> &'static str;

    /// What it reads.
    fn takes(&self) -> Takes;

    /// Checks what can be checked before the data is known.
    ///
    /// # Errors
    /// Returns the first option that is not valid.
    fn check(&self) -> Result<(), Fault> {
        Ok(())
    }

    /// The name of the layer that computes the logits: its weight has a row for each class.
    fn classifier(&self) -> String;

    /// How the loss of training treats labels.
    fn targets(&self) -> op::Targets {
        op::Targets::default()
    }

    /// The blocks that its network consists of, which decide the memory strategies that it supports.
    fn blocks(&self) -> Blocks {
        Blocks::None
    }

    /// Makes the network for such data, put together as `strategy` says. The strategy is one that
    /// [`Architecture::blocks`] supports.
    ///
    /// # Errors
    /// Returns an error if the options do not fit the data or the strategy.
    fn network(
        &self,
        data: &DataFacts,
        builder: &Builder,
        strategy: &MemoryStrategy,
    ) -> Result<Network>;
}

/// What a model reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Images of any height and width.
    Images,
    /// Images that are as high as they are wide, in steps of so many pixels.
    SquareImages {
        /// The side is a multiple of this.
        multiple_of: usize,
    },
    /// Pairs of sequences of tokens.
    Pairs {
        /// The name of the layer whose weight has a row for each different token of a source.
        source_table: &'static str,
    },
    /// Text, of which it says at each token which one comes next.
    Text,
    /// Texts of one class each.
    LabelledText {
        /// The name of the layer whose weight has a row for each different token.
        table: &'static str,
    },
}

impl Takes {
    /// Whether it is pairs of sequences, not images.
    pub fn is_pairs(self) -> bool {
        matches!(self, Takes::Pairs { .. })
    }

    /// What it is, in words.
    pub fn in_words(self) -> &'static str {
        match self {
            Takes::Images | Takes::SquareImages { .. } => "images",
            Takes::Pairs { .. } => "pairs of sequences",
            Takes::Text => "text",
            Takes::LabelledText { .. } => "labelled text",
        }
    }
}

/// The blocks that a network consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocks {
    /// None that a memory strategy could be applied to.
    None,
    /// Blocks one after another, which checkpointing can compute again.
    Plain,
    /// Residual blocks of convolutions in stages, which all memory strategies are for.
    Residual,
}

impl Blocks {
    /// Checks that networks of `model`, which consist of these blocks, support a strategy.
    pub(super) fn check(self, strategy: &MemoryStrategy, model: &str) -> Result<()> {
        let reason = match (self, &strategy.checkpoint) {
            (Blocks::Residual, _) => return Ok(()),
            _ if strategy.auxiliary_residual.is_some() => {
                format!("`ara` is for residual networks; {model} has no stages of blocks")
            }
            (_, None) => return Ok(()),
            (Blocks::None, Some(checkpoint)) => {
                let word = match checkpoint {
                    Checkpointing::Named(_) => "recompute",
                    _ => "checkpoint",
                };
                format!("`{word}` is for networks of blocks; {model} has none")
            }
            (Blocks::Plain, Some(Checkpointing::Cells)) => format!(
                "`checkpoint=cell` is for residual networks, {model} has no such cells; write \
                 `sqrt`, `block` or a number of segments"
            ),
            (Blocks::Plain, Some(_)) => return Ok(()),
        };
        Err(Error::MemoryStrategy { reason })
    }
}

/// A network, by what it reads.
pub enum Network {
    /// From images (N, channels, height, width) to logits (N, classes).
    Images(Box<dyn Module>),
    /// From pairs of sequences to logits (N, target length, classes).
    Pairs(Box<dyn PairModule>),
    /// From the tokens of a text (N, length) to logits (N, length, classes), or, for texts of one
    /// class each, (N, classes).
    Text(Box<dyn Module>),
}

/// Anything that a pair of sequences can pass through.
pub trait PairModule: Send + Sync {
    /// Computes the logits (N, target length, classes) of the tokens that come next, for sources
    /// (N, source length) and targets (N, target length) as far as they are known, both u32.
    ///
    /// # Errors
    /// Returns an error if the shapes or tokens do not fit.
    fn forward(&self, source: &Activation, target: &Activation) -> Result<Activation>;
}
