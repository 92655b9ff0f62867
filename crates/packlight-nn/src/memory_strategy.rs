//! Methods that change what a network keeps by how it is put together, not by a codec.

use std::str::FromStr;

use crate::{Error, Result};

/// How a network is put together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemoryStrategy {
    /// Auxiliary residual activation: in each stage, groups of so many blocks in which the first
    /// convolutions of all but the first block take their weight gradient from the first one's
    /// input (ARA; Woo and Jeon, "Learning with auxiliary activation for memory-efficient
    /// training", ICLR 2023). Stages are shifted as the authors shift them: a block of stride 2
    /// belongs to the stage before it, whose resolution it reads.
    pub auxiliary_residual: Option<Vec<usize>>,
    /// Gradient checkpointing, and in what parts.
    pub checkpoint: Option<Checkpointing>,
}

impl MemoryStrategy {
    /// Answers an error if anything is asked for that only networks of residual blocks of
    /// convolutions can do.
    pub(crate) fn refuse_residual(&self, model: &str) -> Result<()> {
        let reason = if self.auxiliary_residual.is_some() {
            format!("`ara` is for residual networks; {model} has no stages of blocks")
        } else if self.checkpoint == Some(Checkpointing::Cells) {
            format!(
                "`checkpoint=cell` is for residual networks, {model} has no such cells; write \
                 `sqrt`, `block` or a number of segments"
            )
        } else {
            return Ok(());
        };
        Err(Error::MemoryStrategy { reason })
    }
}

/// The parts of a network that are computed again in the backward pass (Chen et al., "Training
/// deep nets with sublinear memory cost", 2016); a transformer's encoder and decoder are cut each by
/// itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checkpointing {
    /// In each residual block, all between the outputs of its first and its last convolution's
    /// norm: what the authors of ARA combine it with.
    Cells,
    /// Each block.
    Blocks,
    /// So many segments of consecutive blocks.
    Segments(usize),
    /// As many segments as the square root of the number of blocks, which takes the least memory.
    SquareRoot,
}

impl Checkpointing {
    /// The number of segments that `blocks` blocks are cut into.
    pub(crate) fn segments(self, blocks: usize) -> usize {
        match self {
            Checkpointing::Cells => 0,
            Checkpointing::Blocks => blocks,
            Checkpointing::Segments(segments) => segments.clamp(1, blocks.max(1)),
            Checkpointing::SquareRoot => (blocks as f64).sqrt().round() as usize,
        }
    }
}

impl FromStr for Checkpointing {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            ("cell", _) => Ok(Checkpointing::Cells),
            ("block", _) => Ok(Checkpointing::Blocks),
            ("sqrt", _) => Ok(Checkpointing::SquareRoot),
            (_, Ok(segments)) if segments > 0 => Ok(Checkpointing::Segments(segments)),
            _ => Err(format!(
                "`checkpoint={text}`: `sqrt`, `block`, `cell` or a number of segments expected"
            )),
        }
    }
}
