//! Methods that change what a network keeps by how it is put together, not by a codec.

use std::str::FromStr;

use crate::{Error, Result};

/// How a network is put together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Arrangement {
    /// Auxiliary residual activation: in each stage, groups of so many blocks in which the first
    /// convolutions of all but the first block take their weight gradient from the first one's
    /// input (ARA; Woo and Jeon, "Learning with auxiliary activation for memory-efficient
    /// training", ICLR 2023). Stages are shifted as the authors shift them: a block of stride 2
    /// belongs to the stage before it, whose resolution it reads.
    pub auxiliary_residual: Option<Vec<usize>>,
    /// Gradient checkpointing, and in what parts.
    pub checkpoint: Option<Checkpointing>,
}

impl Arrangement {
    /// Answers an error if a network that is not residual is to share inputs.
    pub(crate) fn refuse_residual(&self, model: &str) -> Result<()> {
        match self.auxiliary_residual {
            None => Ok(()),
            Some(_) => Err(Error::Arrangement {
                reason: format!("`ara` is for residual networks; {model} has no stages of blocks"),
            }),
        }
    }

    /// Answers an error if anything is asked for, for a network that can only be put together in
    /// one way.
    pub(crate) fn refuse_all(&self, model: &str) -> Result<()> {
        self.refuse_residual(model)?;
        match self.checkpoint {
            None => Ok(()),
            Some(_) => Err(Error::Arrangement {
                reason: format!(
                    "`checkpoint`: {model} cannot be checkpointed, its decoder reads two inputs"
                ),
            }),
        }
    }
}

/// The parts of a network that are computed again in the backward pass (Chen et al., "Training
/// deep nets with sublinear memory cost", 2016).
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
